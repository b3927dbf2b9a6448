import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.memory.fixed_point import from_fixed, to_fixed


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=50), st.randoms())
def test_a_sum_has_the_same_bits_in_any_order(values: list[float], random) -> None:  # type: ignore[no-untyped-def]
    shuffled = list(values)
    random.shuffle(shuffled)

    assert int(to_fixed(torch.tensor(values)).sum()) == int(to_fixed(torch.tensor(shuffled)).sum())


@given(st.floats(-1, 1))
def test_rounding_is_below_half_a_step(value: float) -> None:
    back = float(from_fixed(to_fixed(torch.tensor([value], dtype=torch.float64))))

    assert abs(back - value) <= 2.0**-33


def test_what_joins_and_leaves_is_gone_without_a_trace() -> None:
    rows = torch.randn(1000, 4, generator=torch.Generator().manual_seed(0))
    total = to_fixed(rows[:1]).sum(0)

    moved = total.clone()
    for row in rows:
        moved += to_fixed(row)
    for row in rows.flip(0):
        moved -= to_fixed(row)

    assert torch.equal(moved, total)
