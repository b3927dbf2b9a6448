"""Positives and candidates of a batch (InterCLR, arXiv 2008.11702, section 3.2), always from before the step.

Rows of one space, pseudo-labels of the same or another one: `own`, `cross` (labels of another stream, as in XDC,
arXiv 1911.12667) or `fused`.
"""

import torch
from torch import Tensor

from modalities.draws import Draws, derive_seed
from pipeline.memory.candidates import draw_candidates
from pipeline.memory.pseudo_labels import PseudoLabels
from pipeline.memory.spans import Spans
from pipeline.memory.view_space import ViewSpace
from pipeline.types import Mined

_TRIES = 16


class Miner:
    """Draws by (seed, step, sample), the same on every worker."""

    def __init__(self, spans: Spans, *, num_candidates: int, overlapping_positives: bool, seed: int) -> None:
        self.spans, self.seed = spans, seed
        self.num_candidates, self.overlapping_positives = num_candidates, overlapping_positives

    def mine(self, space: ViewSpace, labels: PseudoLabels, idx: Tensor, positions: Tensor, *, step: int) -> Mined:
        """Mined rows of `space` for samples idx (B,) at positions (B,), -1 = not in the memory. Collective."""
        bank = space.bank
        drawn = draw_candidates(bank.num_rows, self.num_candidates, key=self._key("candidates", space, step))
        candidates = torch.from_numpy(drawn).to(positions.device)
        anchor, other = labels.labels_at(positions), labels.labels_at(candidates)
        usable = bank.valid[candidates] & (other >= 0)
        apart = ~self.spans.overlap(positions.clamp(min=0), candidates)
        apart &= usable & (anchor >= 0)[:, None]
        equal = anchor[:, None] == other
        positive, has_positive = self._positive(space, labels, idx, positions, step)
        rows = bank.fetch(torch.cat([candidates, positive.clamp(min=0)]))
        return Mined(
            positive=rows[len(candidates) :],
            has_positive=has_positive,
            candidates=rows[: len(candidates)],
            different=apart & ~equal,
            same=apart & equal,
            labels=anchor.long(),
            num_clusters=labels.num_clusters,
            positive_at=positive,
            candidates_at=candidates,
        )

    def _positive(
        self, space: ViewSpace, labels: PseudoLabels, idx: Tensor, positions: Tensor, step: int
    ) -> tuple[Tensor, Tensor]:
        """Position (B,) of a member of each anchor's cluster, drawn uniformly, and whether there is one.

        A draw that has left the cluster, has no row in this space or overlaps the anchor is redrawn, 16 times at most;
        then it is the anchor's own row.
        """
        known = labels.labels_at(positions) >= 0
        own = positions.clamp(min=0)
        if labels.assignment is None:
            return own, known
        cluster = labels.assignment.labels[own].long().clamp(min=0)
        draws = Draws.keyed(idx, seed=self._key("positive", space, step), purpose=labels.name, epoch=step)
        tried = labels.assignment.members.draw(cluster, draws.uniform(_TRIES))
        fits = (labels.labels_at(tried) == cluster[:, None]) & space.bank.valid[tried.clamp(min=0)]
        if not self.overlapping_positives:
            fits &= ~self.spans.overlap_pairs(own[:, None].expand_as(tried), tried.clamp(min=0))
        first = tried.gather(1, fits.int().argmax(dim=1, keepdim=True)).squeeze(1)
        found = fits.any(dim=1)
        return torch.where(found, first, own), known & (found | space.bank.valid[own])

    def _key(self, purpose: str, space: ViewSpace, step: int) -> int:
        return derive_seed(self.seed, purpose, space.name, step)
