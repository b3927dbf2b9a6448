import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.objectives.intra import nt_xent
from tests.references import fixture_a, nt_xent_loop


def test_nt_xent_equals_published_value() -> None:
    first, second = fixture_a()

    loss = nt_xent(first, second, present=torch.ones(6, dtype=torch.bool), content=torch.arange(6), temperature=0.5)

    assert abs(float(loss) - 2.26508827) < 1e-6


@settings(max_examples=40, deadline=None)
@given(
    present=st.lists(st.booleans(), min_size=6, max_size=6),
    content=st.lists(st.integers(0, 3), min_size=6, max_size=6),
    temperature=st.floats(0.05, 2.0),
)
def test_nt_xent_equals_loop_with_absent_and_equal_samples(
    present: list[bool], content: list[int], temperature: float
) -> None:
    first, second = fixture_a()
    expected = nt_xent_loop(first, second, present, content, temperature)

    actual = nt_xent(
        first, second, present=torch.tensor(present), content=torch.tensor(content), temperature=temperature
    )

    assert float(actual) == pytest.approx(expected, abs=1e-9)


def test_absent_samples_get_no_gradient() -> None:
    first, second = (view.requires_grad_() for view in fixture_a())
    present = torch.tensor([True, True, False, True, False, True])

    nt_xent(first, second, present=present, content=torch.arange(6), temperature=0.2).backward()

    assert first.grad is not None
    assert first.grad[~present].abs().max() == 0
    assert first.grad[present].abs().min() > 0
