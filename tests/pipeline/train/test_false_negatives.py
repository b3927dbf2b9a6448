"""Shares of mined negatives and positives by class, counted one by one."""

import torch

from pipeline.train.false_negatives import mined_shares
from pipeline.types import Mined


def test_shares_count_pairs_of_known_classes_only() -> None:
    classes = torch.tensor([0, 0, 1, -1, 1])
    anchors = torch.tensor([0, 1, -1])
    at, positive = torch.tensor([0, 2, 3, 4]), torch.tensor([1, 0, 2])
    negatives = torch.tensor([[True, True, True, False], [False, True, True, True], [True, True, True, True]])
    mined = Mined(
        positive=torch.zeros(3, 2),
        has_positive=torch.tensor([True, True, True]),
        candidates=torch.zeros(4, 2),
        different=negatives,
        same=~negatives,
        labels=torch.zeros(3, dtype=torch.int64),
        num_clusters=2,
        positive_at=positive,
        candidates_at=at,
    )

    found = mined_shares(mined, negatives, anchors, classes)

    pairs = [(a, int(classes[c])) for b, a in enumerate(anchors.tolist()) for j, c in enumerate(at) if negatives[b, j]]
    known = [(a, c) for a, c in pairs if a >= 0 and c >= 0]
    assert found["false_negatives"] == sum(a == c for a, c in known) / len(known)
    assert found["true_positives"] == 0.5  # the first of the two anchors of a known class
