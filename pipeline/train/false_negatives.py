"""How many negatives are of the anchor's own class, and how many positives are not. For monitors only."""

import torch
from torch import Tensor

from pipeline.objectives.repel import Entries, Repel
from pipeline.types import Mined


def false_negative_shares(entries: Entries, classes: Tensor) -> dict[str, float]:
    """`false_negatives`: share of the repelling weight that falls on pairs of one class; `false_negatives_unweighted`:
    the same if every negative weighed 1. The first is below the second where the clusters follow the classes.

    classes: (B,) int64, -1 unknown; pairs with an unknown one do not count. Empty without a known pair.
    """
    known = classes >= 0
    counted = known[:, None] & known & entries.present[:, None]
    same = counted & (classes[:, None] == classes)
    bare = Entries(entries.present, entries.content, entries.spans)
    found = {}
    for name, side in (("false_negatives", entries), ("false_negatives_unweighted", bare)):
        everything = slice(0, len(classes))
        logits = torch.zeros(len(classes), len(classes), device=classes.device)
        weight = Repel(side, side).restrict(logits, everything, everything).exp()
        total = float(weight[counted].sum())
        if total > 0:
            found[name] = float(weight[same].sum()) / total
    return found


def mined_shares(mined: Mined, negatives: Tensor, anchors: Tensor, classes: Tensor) -> dict[str, float]:
    """`false_negatives`: share of the negatives (B, M) bool that are of their anchor's class; `true_positives`: share
    of the drawn positives that are. Only pairs of known classes count; nothing without one.

    anchors: (B,) class of each anchor, classes: (n,) of each pretraining row, -1 unknown.
    """
    if mined.positive_at is None or mined.candidates_at is None:
        return {}
    theirs, other = classes[mined.candidates_at], classes[mined.positive_at.clamp(min=0)]
    sides = {
        "false_negatives": (anchors[:, None] == theirs, negatives & (anchors >= 0)[:, None] & (theirs >= 0)),
        "true_positives": (anchors == other, mined.has_positive & (anchors >= 0) & (other >= 0)),
    }
    return {name: float(same[known].float().mean()) for name, (same, known) in sides.items() if known.any()}
