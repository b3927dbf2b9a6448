"""Verification: are two samples of the same identity? ROC, TAR at FAR, EER from similarities of pairs.

Genuine pairs share the identity, impostor pairs do not. A pair is accepted where its similarity lies strictly above the
threshold. Scores of any scale are fine: only their order counts.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import auc, roc_curve

from modalities.draws import derive_seed
from pipeline.data.permutation import permute
from pipeline.errors import DataError, NotMeasurable
from pipeline.evaluate.similarity import Matrix, unit_rows

Codes = NDArray[np.int64]
Scores = NDArray[np.floating]
MOST_SAMPLES = 2048
"""Samples that are paired; of more, that many are drawn by a fixed key: two million pairs."""
_SLACK = 1e-9  # 0.1 x 10 must be 1 whatever its rounding


@dataclass(frozen=True)
class Pairs:
    """Similarities of genuine (P,) and impostor (N,) pairs, both of one or more."""

    genuine: Scores
    impostor: Scores


@dataclass(frozen=True)
class TrueAcceptance:
    """tar: share of genuine pairs above the threshold. far: of impostor pairs, at most what was asked for."""

    tar: float
    far: float
    threshold: float


def verification_pairs(x: Matrix, identities: Codes, recordings: tuple[Codes, ...] = ()) -> Pairs:
    """Cosine similarities of all pairs of samples (N, D) of known identities (N,), -1 = unknown.

    Pairs of one recording, session and the like (equal codes (N,) in any of `recordings`, -1 = unknown) are left out:
    they are alike for another reason. Raises NotMeasurable where there are no genuine or no impostor pairs.
    """
    known = np.flatnonzero(identities >= 0)
    if len(known) > MOST_SAMPLES:
        drawn = permute(np.arange(MOST_SAMPLES), size=len(known), key=derive_seed("verification"))
        known = np.sort(known[drawn])
    unit, own = unit_rows(x[known]), identities[known]
    low, high = np.triu_indices(len(known), 1)
    free = np.ones(len(low), bool)
    for codes in recordings:
        free &= (codes[known][low] != codes[known][high]) | (codes[known][low] < 0)
    scores, same = (unit @ unit.T)[low[free], high[free]], (own[low] == own[high])[free]
    return checked_pairs(scores[same], scores[~same])


def checked_pairs(genuine: Scores, impostor: Scores) -> Pairs:
    """Raises NotMeasurable where either is empty, DataError for scores that are not finite."""
    for name, scores in (("genuine", genuine), ("impostor", impostor)):
        if not len(scores):
            raise NotMeasurable(
                f"there are no {name} pairs across recordings",
                code="DATA_TOO_FEW",
                field=name,
                expected="at least 1 pair",
                got=0,
                fix="verify identities that occur in several recordings, two identities or more",
            )
        if not np.isfinite(scores).all():
            raise DataError(f"{name} scores are not finite", code="DATA_NOT_FINITE", field=name)
    return Pairs(genuine, impostor)


def true_acceptance(pairs: Pairs, far: float) -> TrueAcceptance:
    """TAR at the lowest threshold that accepts at most a share `far` of the impostors; 0 accepts none of them.

    Raises NotMeasurable where fewer than one impostor pair would be accepted: then nothing is known of that rate.
    """
    refuse_rare(far, len(pairs.impostor), "impostor pairs")
    threshold = threshold_at(pairs.impostor, far)
    return TrueAcceptance(
        tar=float((pairs.genuine > threshold).mean()),
        far=float((pairs.impostor > threshold).mean()),
        threshold=threshold,
    )


def threshold_at(scores: Scores, share: float) -> float:
    """The lowest of the scores (N,) that at most this share of them lie above; -inf where all may."""
    allowed = int(np.floor(share * len(scores) + _SLACK))
    return -np.inf if allowed >= len(scores) else float(np.sort(scores)[len(scores) - 1 - allowed])


def refuse_rare(share: float, number: int, what: str) -> None:
    """Raises NotMeasurable for a rate in (0, 1/number); DataError outside [0, 1]."""
    if not 0 <= share <= 1:
        raise DataError("a rate lies in [0, 1]", code="DATA_FIELD", field="rate", expected="[0, 1]", got=share)
    if 0 < share * number < 1 - _SLACK:
        raise NotMeasurable(
            f"a rate of {share:g} cannot be seen with {number} {what}",
            code="DATA_TOO_FEW",
            field="rate",
            expected=f"at least {1 / share:.6g} {what}",
            got=number,
            fix=f"ask for {1 / number:.2g} or more",
        )


def equal_error_rate(pairs: Pairs) -> float:
    """Mean of false acceptance and false rejection where they differ least, as in torchmetrics; the worst of equals."""
    far, tar = _roc(pairs)
    difference = np.abs(far - (1 - tar))
    least = difference <= difference.min() + _SLACK
    return float((far + 1 - tar)[least].max() / 2)


def area_under_roc(pairs: Pairs) -> float:
    """Chance that a genuine pair is more alike than an impostor pair; a tie counts half."""
    return float(auc(*_roc(pairs)))


def _roc(pairs: Pairs) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """FAR and TAR at every score; scikit-learn's, as torchmetrics takes a sigmoid of scores outside [0, 1]."""
    scores = np.concatenate([pairs.genuine, pairs.impostor]).astype(np.float64)
    genuine = np.repeat([1, 0], [len(pairs.genuine), len(pairs.impostor)])
    far, tar, _ = roc_curve(genuine, scores, drop_intermediate=False)
    return far, tar


def fold_accuracy(pairs: Pairs, *, folds: int = 10, seed: int = 0) -> tuple[float, float]:
    """Mean and sd over folds of balanced accuracy, each at the threshold that is best on the other folds.

    Pairs go to folds by a key. Raises NotMeasurable where a fold would have no genuine or no impostor pair.
    """
    least = min(len(pairs.genuine), len(pairs.impostor))
    if least < folds:
        raise NotMeasurable(
            f"{folds} folds need as many pairs of either kind", code="DATA_TOO_FEW", expected=folds, got=least
        )
    fold = [
        permute(np.arange(len(s)), size=len(s), key=derive_seed(seed, "folds", name)) % folds
        for name, s in (("genuine", pairs.genuine), ("impostor", pairs.impostor))
    ]
    found = []
    for held in range(folds):
        rest = Pairs(pairs.genuine[fold[0] != held], pairs.impostor[fold[1] != held])
        own = Pairs(pairs.genuine[fold[0] == held], pairs.impostor[fold[1] == held])
        threshold = _best_threshold(rest)
        found.append(((own.genuine > threshold).mean() + (own.impostor <= threshold).mean()) / 2)
    return float(np.mean(found)), float(np.std(found, ddof=1))


def _best_threshold(pairs: Pairs) -> float:
    """The score, lowest of equals, above which accepting gives the best balanced accuracy."""
    genuine, impostor = np.sort(pairs.genuine), np.sort(pairs.impostor)
    scores = np.unique(np.concatenate([genuine, impostor]))
    accepted = 1 - np.searchsorted(genuine, scores, side="right") / len(genuine)
    rejected = np.searchsorted(impostor, scores, side="right") / len(impostor)
    return float(scores[np.argmax(accepted + rejected)])
