import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import CheckpointError
from pipeline.memory.key_queue import KeyQueue

CPU = torch.device("cpu")


@given(st.integers(1, 7), st.lists(st.integers(0, 10), max_size=8))
def test_it_holds_the_latest_keys(size: int, pushes: list[int]) -> None:
    queue, everything = KeyQueue(size, 2, CPU), []
    for count in pushes:
        positions = torch.arange(len(everything), len(everything) + count)
        queue.push(torch.stack([positions + 1, torch.ones(count)], dim=1), positions)
        everything += positions.tolist()

    held = queue.positions[: queue.filled].tolist()

    assert sorted(held) == everything[-size:]
    for position, row in zip(held, queue.rows, strict=False):
        torch.testing.assert_close(row, torch.nn.functional.normalize(torch.tensor([position + 1.0, 1.0]), dim=0))


def test_a_queue_of_no_size_holds_nothing() -> None:
    queue = KeyQueue(0, 2, CPU)
    queue.push(torch.ones(3, 2), torch.arange(3))

    assert queue.filled == 0


def test_state_round_trips_with_its_pointer() -> None:
    queue, other = KeyQueue(5, 2, CPU), KeyQueue(5, 2, CPU)
    queue.push(torch.randn(7, 2), torch.arange(7))
    other.load({name: tensor.clone() for name, tensor in queue.tensors().items()})

    for each in (queue, other):
        each.push(torch.ones(2, 2), torch.tensor([50, 51]))

    assert torch.equal(other.rows, queue.rows)
    assert torch.equal(other.positions, queue.positions)
    assert (other.next, other.filled) == (queue.next, queue.filled)


def test_a_queue_of_another_size_is_refused() -> None:
    with pytest.raises(CheckpointError, match="queue"):
        KeyQueue(4, 2, CPU).load(KeyQueue(5, 2, CPU).tensors())


def test_no_gradient_reaches_the_queue() -> None:
    queue = KeyQueue(4, 2, CPU)
    queue.push(torch.randn(2, 2, requires_grad=True), torch.arange(2))

    assert not queue.rows.requires_grad
