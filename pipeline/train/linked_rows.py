"""Partners of a relational objective from the memory: no neighbour has to be in the batch."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from modalities.draws import Draws, derive_seed
from pipeline.memory.candidates import draw_candidates
from pipeline.memory.memory import Memory
from pipeline.relations.relation import Relation
from pipeline.types import Mined


@dataclass(frozen=True)
class Domain:
    """Which nodes may be negatives of an anchor.

    linked (n,) bool: nodes with a neighbour. Of the others nothing is known, so that they are nobody's negatives: they
    are untagged, or in no list (the paper's citation graph drops them too, arXiv 2103.10334). same, other: column
    numbers (n,) in which negatives must agree with their anchor, and in which they must differ; None: in none.
    """

    linked: np.ndarray
    same: np.ndarray | None
    other: np.ndarray | None

    def allows(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """(B, M) bool: may nodes `columns` (M,) be negatives of nodes `rows` (B,)?"""
        found = np.broadcast_to(self.linked[columns], (len(rows), len(columns))).copy()
        if self.same is not None:
            found &= self.same[rows][:, None] == self.same[columns]
        if self.other is not None:
            found &= self.other[rows][:, None] != self.other[columns]
        return found


def linked_rows(memory: Memory, relation: Relation, stream: str, idx: Tensor, *, domain: Domain, step: int) -> Mined:
    """A neighbour's row of each sample idx (B,) and candidates that the relation does not link to it. Collective.

    Drawn by (seed, step, sample). Rows that were never written are no partners.
    """
    space, spans = memory.space(stream), memory.miner.spans
    bank, seed = space.bank, derive_seed(memory.runtime.seed, "linked", space.name)
    anchors = memory.positions(idx)
    nodes = anchors.cpu().numpy()
    uniform = Draws.keyed(idx, seed=seed, purpose="neighbour", epoch=step).uniform(1)[:, 0]
    neighbour = torch.from_numpy(relation.draw(nodes, uniform.cpu().numpy().astype(np.float64))).to(anchors)
    drawn = draw_candidates(bank.num_rows, memory.config.candidates, key=derive_seed(seed, "candidates", step))
    candidates = torch.from_numpy(drawn).to(anchors)
    links = torch.from_numpy(relation.links(nodes, drawn)).to(anchors.device)
    allowed = bank.valid[candidates] & ~spans.overlap(anchors, candidates) & (links <= 0)
    allowed &= torch.from_numpy(domain.allows(nodes, drawn)).to(anchors.device)
    rows = bank.fetch(torch.cat([candidates, neighbour.clamp(min=0)]))
    return Mined(
        positive=rows[len(candidates) :],
        has_positive=(neighbour >= 0) & bank.valid[neighbour.clamp(min=0)],
        candidates=rows[: len(candidates)],
        different=allowed,
        same=links > 0,
        labels=torch.full_like(anchors, -1),
        num_clusters=0,
        positive_at=neighbour,
        candidates_at=candidates,
    )
