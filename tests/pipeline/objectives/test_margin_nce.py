import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.objectives.info_nce import contrast
from pipeline.objectives.margin_nce import margin_nce, with_margin
from pipeline.objectives.repel import Repel
from tests.references import fixture_a, margin_nce_loop


def circle(*degrees: float) -> torch.Tensor:
    angles = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    return torch.stack([angles.cos(), angles.sin()], dim=1)


BANK = circle(0, 10, 20, 90, 100, 110, 180, 190)


@pytest.mark.parametrize(("margin", "expected"), [(0.0, 0.01742257), (-0.5, 0.00144162), (0.35, 0.09634459)])
def test_bank_on_the_circle_equals_published_values(margin: float, expected: float) -> None:
    loss = margin_nce(circle(5), BANK[2:3], BANK[[3, 4, 6]], repel=Repel(), margin=margin, temperature=0.2)

    assert abs(float(loss) - expected) < 1e-6


@pytest.mark.parametrize(("margin", "expected"), [(0.0, -0.08635836), (-0.5, -0.00720292)])
def test_slope_in_the_positive_equals_published_values(margin: float, expected: float) -> None:
    similarity = torch.tensor(math.cos(math.radians(15)), dtype=torch.float64, requires_grad=True)
    repelled = (circle(5) @ BANK[[3, 4, 6]].T / 0.2).logsumexp(dim=1)

    contrast(with_margin(similarity, margin, "cosine") / 0.2, repelled).sum().backward()

    assert similarity.grad is not None
    assert abs(float(similarity.grad) - expected) < 1e-6


def test_intra_case_and_weighted_total_equal_published_values() -> None:
    cosines = torch.tensor([0.9, 0.1, -0.2, 0.3], dtype=torch.float64)
    rows = torch.stack([cosines, (1 - cosines.square()).sqrt()], dim=1)

    intra = margin_nce(circle(0), rows[:1], rows[1:], repel=Repel(), margin=0.0, temperature=0.2)
    inter = margin_nce(circle(5), BANK[2:3], BANK[[3, 4, 6]], repel=Repel(), margin=-0.5, temperature=0.2)

    assert abs(float(intra) - 0.06970280) < 1e-6
    assert abs(float(0.75 * intra + 0.25 * inter) - 0.05263751) < 1e-6


@pytest.mark.parametrize(
    ("margin", "cosine", "expected"), [(-0.5, 0.5, 0.85398598), (-0.5, 0.95, 1.18971277), (0.5, 0.5, 0.02359659)]
)
def test_arc_margin_equals_published_values(margin: float, cosine: float, expected: float) -> None:
    assert abs(float(with_margin(torch.tensor(cosine, dtype=torch.float64), margin, "arc")) - expected) < 1e-6


@settings(max_examples=60, deadline=None)
@given(margin=st.floats(-1, 1), form=st.sampled_from(["cosine", "arc"]))
def test_margin_keeps_the_order_of_cosines_with_finite_slopes(margin: float, form: str) -> None:
    cosines = torch.cat([-torch.ones(1), torch.linspace(-0.999, 0.999, 301), torch.ones(1)]).double().requires_grad_()

    found = with_margin(cosines, margin, form)  # type: ignore[arg-type]
    slopes = torch.autograd.grad(found.sum(), cosines)[0]

    assert slopes.isfinite().all()
    inside = (cosines.abs() < 0.9).detach()
    assert (found.detach().diff()[inside[1:] & inside[:-1]] > -1e-9).all()


@settings(max_examples=30, deadline=None)
@given(margin=st.floats(-0.5, 0.5), temperature=st.floats(0.1, 1.0))
def test_equals_loop_and_grows_with_the_margin(margin: float, temperature: float) -> None:
    first, second = fixture_a()
    expected = margin_nce_loop(first[0], second[0], second[1:], margin, temperature)

    actual = margin_nce(first[:1], second[:1], second[1:], repel=Repel(), margin=margin, temperature=temperature)
    larger = margin_nce(first[:1], second[:1], second[1:], repel=Repel(), margin=margin + 0.1, temperature=temperature)

    assert float(actual) == pytest.approx(expected, abs=1e-9)
    assert larger > actual
