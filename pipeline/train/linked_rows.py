"""Partners of a relational objective from the memory: no neighbour has to be in the batch."""

import numpy as np
import torch
from torch import Tensor

from modalities.draws import Draws, derive_seed
from pipeline.memory.candidates import draw_candidates
from pipeline.memory.memory import Memory
from pipeline.relations.relation import Relation
from pipeline.types import Mined

Domain = tuple[np.ndarray | None, np.ndarray | None]
"""Column numbers (n,) in which negatives must agree with their anchor, and in which they must differ."""


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
    allowed &= torch.from_numpy(in_domain(domain, nodes, drawn)).to(anchors.device)
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


def in_domain(domain: Domain, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """(B, M) bool: pairs that may be negatives of each other."""
    same, other = domain
    found = np.ones((len(rows), len(columns)), np.bool_)
    if same is not None:
        found &= same[rows][:, None] == same[columns]
    if other is not None:
        found &= other[rows][:, None] != other[columns]
    return found
