import pytest
import torch

from pipeline.objectives.momentum_keys import MomentumKeys
from pipeline.types import Embeddings, Keys
from tests.references import fixture_a, margin_nce_loop


def embeddings(keys: Keys | None, *, spans: torch.Tensor | None = None) -> Embeddings:
    first, _ = fixture_a()
    views = torch.stack([first[:3], first[:3] + 0.2]).requires_grad_()
    present = torch.tensor([True, True, False])
    known = {} if keys is None else {"s": keys}
    return Embeddings(torch.arange(3), {"s": views}, {"s": present}, {"s": torch.arange(3)}, keys=known, spans=spans)


def test_every_view_is_a_query_against_its_key_and_the_queue() -> None:
    _, second = fixture_a()
    keys = Keys(second[:3].requires_grad_(), second[3:].detach().requires_grad_())
    found = embeddings(keys)
    views = found.views["s"].detach()
    expected = [
        margin_nce_loop(view[i], second[i].detach(), second[3:].detach(), 0.0, 0.2) for view in views for i in range(2)
    ]

    loss = MomentumKeys().build(["s"])(found).total()
    loss.backward()

    assert loss.item() == pytest.approx(sum(expected) / 4, abs=1e-9)
    assert keys.keys.grad is None
    assert keys.queue.grad is None


@pytest.mark.fault("N06")
def test_equal_payloads_and_overlapping_windows_of_the_queue_do_not_repel() -> None:
    _, second = fixture_a()
    spans = torch.tensor([[0, 0, 9], [1, 0, 9], [2, 0, 9]])
    queued = torch.tensor([[5, 0, 9], [1, 8, 12], [1, 9, 12]])
    keys = Keys(second[:3], second[3:], content=torch.tensor([0, 7, 8]), spans=queued)
    found = embeddings(keys, spans=spans)
    allowed = ([4, 5], [3, 5])
    expected = [
        margin_nce_loop(view[i], second[i], second[allowed[i]], 0.0, 0.2)
        for view in found.views["s"].detach()
        for i in range(2)
    ]

    actual = MomentumKeys().build(["s"])(found).total().item()

    assert actual == pytest.approx(sum(expected) / 4, abs=1e-9)


def test_an_empty_queue_is_a_zero_and_no_keys_are_no_term() -> None:
    _, second = fixture_a()

    empty = MomentumKeys().build(["s"])(embeddings(Keys(second[:3], second[:0]))).total()
    empty.backward()

    assert empty.item() == 0.0
    assert MomentumKeys().build(["s"])(embeddings(None)).terms == {}
    assert MomentumKeys().needs == {"keys"}
