"""A worker with other labels is shown by test_world_sizes.py, in real processes."""

import torch

from pipeline.memory.desync import LabelDigest
from tests.pipeline.memory.circle import ALONE


def digest(*labels: int) -> LabelDigest:
    found = LabelDigest()
    found.add(torch.arange(len(labels)), torch.tensor(labels, dtype=torch.int32))
    return found


def test_any_other_label_gives_another_digest() -> None:
    assert len({int(digest(*labels).value) for labels in [(0, 1), (1, 0), (0, 0), (0, 1, -1), (-1, 1)]}) == 5


def test_the_order_of_a_batch_does_not_matter_but_that_of_batches_does() -> None:
    first, second = LabelDigest(), LabelDigest()
    first.add(torch.tensor([3, 5]), torch.tensor([1, 2]))
    second.add(torch.tensor([5, 3]), torch.tensor([2, 1]))

    assert torch.equal(first.value, second.value)
    first.add(torch.tensor([1]), torch.tensor([1]))
    third = LabelDigest()
    third.add(torch.tensor([1]), torch.tensor([1]))
    third.add(torch.tensor([3, 5]), torch.tensor([1, 2]))
    assert not torch.equal(first.value, third.value)


def test_a_worker_alone_agrees_with_itself() -> None:
    digest(0, 1).check(ALONE, step=3, whole={"centroids": [torch.ones(2, 3)]})
