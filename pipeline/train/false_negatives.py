"""How many of the negatives of a batch are of the anchor's own class, with and without weights. For monitors only."""

import torch
from torch import Tensor

from pipeline.objectives.repel import Entries, Repel


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
