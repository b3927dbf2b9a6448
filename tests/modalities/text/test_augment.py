"""Views of texts: some tokens go, never all, and the others stay in place."""

import pytest
import torch

from modalities.draws import Draws
from modalities.spec import Signal
from modalities.text.augment import SpanDropout, TokenDropout, TokenMask

BATCH, LENGTH = 200, 20


def batch() -> Signal:
    """Texts of 1 to 20 tokens; every fifth sample is absent."""
    lengths = torch.arange(BATCH) % LENGTH + 1
    present = torch.arange(BATCH) % 5 != 3
    mask = (torch.arange(LENGTH) < lengths[:, None]) & present[:, None]
    return Signal(torch.arange(10, 10 + LENGTH).expand(BATCH, LENGTH) * mask, mask, present)


def view(transform: TokenDropout | SpanDropout | TokenMask, number: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    found = transform(batch(), Draws.keyed(torch.arange(BATCH), seed=0, purpose="v", epoch=0, view=number))
    assert found.mask is not None
    return found.values, found.mask


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.99])
def test_dropout_hides_the_asked_share_but_never_everything(rate: float) -> None:
    values, kept = view(TokenDropout(rate=rate))
    before = batch()
    assert before.mask is not None
    long = before.present & (before.mask.sum(dim=1) >= 15)
    hidden = 1 - kept[long].sum() / before.mask[long].sum()

    assert abs(hidden - rate) < 0.06
    assert kept.any(dim=1).equal(before.present)
    assert (kept & ~before.mask).sum() == 0
    assert torch.equal(values[kept], before.values[kept])
    assert values[~kept].abs().sum() == 0


def test_masking_replaces_tokens_and_hides_none() -> None:
    values, mask = view(TokenMask(rate=0.5, token=4))
    before = batch()
    replaced = values == 4

    assert before.mask is not None
    assert torch.equal(mask, before.mask)
    assert (replaced & ~before.mask).sum() == 0
    assert torch.equal(values[~replaced], before.values[~replaced])
    assert (before.mask & ~replaced).any(dim=1).equal(before.present)
    assert 0.4 < replaced.sum() / before.mask.sum() < 0.5  # one token of each text is spared


def test_a_span_is_one_run_of_at_most_the_asked_share() -> None:
    starts, ends = 0, 0
    for number in range(30):
        _, kept = view(SpanDropout(max_fraction=0.5), number)
        before = batch()
        assert before.mask is not None
        hidden = before.mask & ~kept
        edges = (
            torch.diff(hidden.long(), dim=1, prepend=torch.zeros(BATCH, 1, dtype=torch.long)).clamp(min=0).sum(dim=1)
        )

        assert edges.max() == 1
        assert (hidden.sum(dim=1) <= 0.5 * before.mask.sum(dim=1)).all()
        assert kept.any(dim=1).equal(before.present)
        starts += hidden[LENGTH - 1 :: LENGTH, 0].sum()
        ends += hidden[LENGTH - 1 :: LENGTH, -1].sum()
    assert starts > 0
    assert ends > 0


def test_a_span_counts_visible_tokens_only() -> None:
    """After a dropout, the run covers neighbours among what is left."""
    before = batch()
    assert before.mask is not None
    holes = before.mask & (torch.arange(LENGTH) % 2 == 0)
    holed = Signal(before.values * holes, holes, before.present)
    draws = Draws.keyed(torch.arange(BATCH), seed=1, purpose="v", epoch=0)
    found = SpanDropout(max_fraction=0.9)(holed, draws)

    assert found.mask is not None
    assert (found.mask & ~holes).sum() == 0
    assert found.mask.any(dim=1).equal(before.present)
