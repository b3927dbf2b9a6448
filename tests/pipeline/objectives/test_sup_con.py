import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.objectives.sup_con import sup_con
from tests.references import fixture_a, sup_con_loop


def masks(labels: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Positives and negatives of a batch that is its own set of candidates."""
    y = torch.tensor(labels)
    own = torch.eye(len(y), dtype=torch.bool)
    return (y[:, None] == y) & ~own, y[:, None] != y


def both_views() -> torch.Tensor:
    return torch.cat(fixture_a())


def test_outer_form_equals_published_value_and_bounds_the_inner_one() -> None:
    labels = [0, 0, 1, 1, 2, 2] * 2
    positives, negatives = masks(labels)
    columns = [[row.nonzero().flatten().tolist() for row in mask] for mask in (positives, negatives)]
    loops = sup_con_loop(both_views(), both_views(), *columns, 0.1)

    outer = sup_con(both_views(), both_views(), positives=positives, negatives=negatives, temperature=0.1)
    inner = sum(loss for _, loss in loops) / 12

    assert abs(float(outer.mean()) - 3.89991613) < 1e-6
    assert abs(float(outer.mean()) * 0.1 / 0.07 - 5.57130876) < 1e-6
    assert abs(inner - 1.47773190) < 1e-6
    assert outer.tolist() == pytest.approx([loss for loss, _ in loops], abs=1e-9)


def test_samples_alone_in_their_class_contribute_nothing() -> None:
    first, _ = fixture_a()
    positives, negatives = masks([0, 0, 1, 2, 3, 3])

    losses = sup_con(first, first, positives=positives, negatives=negatives, temperature=0.1)

    assert abs(float(losses.mean()) - 0.17361791) < 1e-6
    assert abs(float(losses.sum()) / 4 - 0.26042687) < 1e-6


def test_two_views_of_every_sample_are_nt_xent() -> None:
    positives, negatives = masks([*range(6), *range(6)])

    losses = sup_con(both_views(), both_views(), positives=positives, negatives=negatives, temperature=0.5)

    assert abs(float(losses.mean()) - 2.26508827) < 1e-6


@settings(max_examples=30, deadline=None)
@given(labels=st.lists(st.integers(0, 3), min_size=6, max_size=6), margin=st.floats(-0.5, 0.5))
def test_gradients_are_finite_and_a_margin_acts_on_every_positive(labels: list[int], margin: float) -> None:
    first = fixture_a()[0].requires_grad_()
    positives, negatives = masks(labels)

    actual = sup_con(first, first, positives=positives, negatives=negatives, temperature=0.3, margin=margin)
    (gradient,) = torch.autograd.grad(actual.sum(), first)

    unit = torch.nn.functional.normalize(first.detach(), dim=1)
    cosines = unit @ unit.T - margin * positives.double()
    expected = []
    for i, row in enumerate((cosines / 0.3).exp()):
        share = row[positives[i]] / (row[positives[i]].sum() + row[negatives[i]].sum())
        expected.append(float(-share.log().mean()) if len(share) else 0.0)
    assert actual.tolist() == pytest.approx(expected, abs=1e-9)
    assert gradient.isfinite().all()
