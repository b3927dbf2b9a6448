"""Open-set identification: who of the enrolled is this, if anyone? TPIR at FPIR (ISO/IEC 19795-1).

A probe is answered with the identity of its nearest gallery item where that similarity lies strictly above a threshold.
FPIR: share of probes of strangers (nobody enrolled) that are answered. TPIR: share of mated probes (of somebody
enrolled) that are answered, and rightly. A wrong item as near as the right one counts against it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modalities.draws import derive_seed
from pipeline.data.permutation import permute
from pipeline.errors import NotMeasurable
from pipeline.evaluate.retrieval import TIE, TILE
from pipeline.evaluate.similarity import Similarity
from pipeline.evaluate.verification import refuse_rare, threshold_at

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Enrolment:
    """Rows of a gallery and of probes. Known identities of probes that the gallery lacks are strangers."""

    gallery: Codes
    probes: Codes


@dataclass(frozen=True)
class Searches:
    """top: (M,) similarity of each mated probe's nearest item. right: (M,) whether it is its own. strangers: (S,)."""

    top: NDArray[np.floating]
    right: NDArray[np.bool_]
    strangers: NDArray[np.floating]

    def true_identification(self, fpir: float) -> float:
        """TPIR at this FPIR. Raises NotMeasurable for a rate in (0, 1/S)."""
        refuse_rare(fpir, len(self.strangers), "probes of strangers")
        return float(((self.top > threshold_at(self.strangers, fpir)) & self.right).mean())

    @property
    def rank_one(self) -> float:
        """Share of mated probes whose nearest item is right, whatever the similarity."""
        return float(self.right.mean())


def enrol(identities: Codes, recordings: Codes, *, enrolled: float = 0.5, seed: int) -> Enrolment:
    """Enrol the first recording of a keyed share of the identities that have two or more; all others are probed.

    identities, recordings: (N,), -1 = unknown: not used. An identity of one recording is a stranger. Raises
    NotMeasurable where nobody can be enrolled, or nobody is a stranger.
    """
    known = np.flatnonzero((identities >= 0) & (recordings >= 0))
    people = np.unique(identities[known])
    several = [p for p in people if len(np.unique(recordings[known][identities[known] == p])) > 1]
    size = min(max(1, round(enrolled * len(several))), len(people) - 1)
    if not several or size < 1:
        raise NotMeasurable(
            "open-set identification needs somebody with two recordings, and somebody else",
            code="DATA_TOO_FEW",
            field="identities",
            expected="2 identities, 1 of them with 2 recordings",
            got=f"{len(people)} identities, {len(several)} of them with 2 recordings",
        )
    chosen = np.array(several)[permute(np.arange(size), size=len(several), key=derive_seed(seed, "enrol"))]
    first = {p: recordings[known][identities[known] == p].min() for p in chosen}
    in_gallery = np.array([recordings[row] == first.get(identities[row], -2) for row in known])
    return Enrolment(known[in_gallery], known[~in_gallery])


def search(similarity: Similarity, probes: Codes, gallery: Codes, *, tile: int = TILE) -> Searches:
    """Search identities of probes (Q,) among those of the gallery (G,).

    Raises NotMeasurable where no probe is mated or none is a stranger.
    """
    mated = np.isin(probes, gallery)
    if not mated.any() or mated.all():
        raise NotMeasurable(
            "open-set identification needs mated probes and strangers",
            code="DATA_TOO_FEW",
            field="probes",
            expected="at least 1 of each",
            got=[int(mated.sum()), int((~mated).sum())],
        )
    top, right = np.empty(len(probes)), np.empty(len(probes), bool)
    step = max(1, tile // similarity.shape[1])
    for start in range(0, len(probes), step):
        scores = similarity.rows(start, min(start + step, len(probes)))
        own = probes[start : start + step, None] == gallery
        top[start : start + step] = scores.max(axis=1)
        best_of_others = np.where(own, -np.inf, scores).max(axis=1)
        right[start : start + step] = np.where(own, scores, -np.inf).max(axis=1) - TIE > best_of_others
    return Searches(top[mated], right[mated], top[~mated])
