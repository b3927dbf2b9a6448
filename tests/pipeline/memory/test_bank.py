import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from pipeline.errors import CheckpointError
from pipeline.memory.bank import FeatureBank
from tests.pipeline.memory.circle import ALONE, at, bank_of

GENERATOR = torch.Generator().manual_seed(0)


def empty(num_rows: int = 10, dim: int = 4, **changes: object) -> FeatureBank:
    return FeatureBank(num_rows, dim, **{"dtype": torch.float32, "momentum": 1.0, "runtime": ALONE} | changes)  # type: ignore[arg-type]


def test_a_row_is_read_as_a_unit_row() -> None:
    bank = empty()
    rows = torch.randn(3, 4, generator=GENERATOR) * 7

    written = bank.write(torch.tensor([8, 2, 5]), rows, step=4)

    assert written.positions.tolist() == [2, 5, 8]
    torch.testing.assert_close(bank.fetch(torch.tensor([8, 2, 5])), functional.normalize(rows, dim=1))
    assert bank.valid.nonzero().squeeze(1).tolist() == [2, 5, 8]
    assert bank.step_written[[2, 3]].tolist() == [4, -1]
    assert bank.num_valid == 3
    assert bank.mean_age(step=9) == 5.0


def test_a_row_that_was_never_written_is_zero_and_invalid() -> None:
    bank = empty()

    assert bank.fetch(torch.tensor([1])).abs().sum() == 0
    assert not bank.valid.any()
    assert bank.mean_age(step=3) == 0.0


@given(st.lists(st.integers(0, 9), max_size=30))
def test_the_last_of_equal_positions_wins(positions: list[int]) -> None:
    bank, rows = empty(), functional.normalize(torch.randn(len(positions), 4, generator=GENERATOR), dim=1)
    expected = dict(zip(positions, rows, strict=True))

    bank.write(torch.tensor(positions, dtype=torch.int64), rows, step=0)

    for position, row in expected.items():
        torch.testing.assert_close(bank.fetch(torch.tensor([position]))[0], row)
    assert bank.num_valid == len(expected)


def test_momentum_mixes_as_published() -> None:
    """methods_expected.json interclr_update_om0.5_bank0_deg: 0 and 80 degrees give 40."""
    bank = bank_of(at(0, 90), momentum=0.5)

    bank.write(torch.tensor([0]), at(80), step=1)

    torch.testing.assert_close(bank.fetch(torch.tensor([0])), at(40), rtol=0, atol=1e-12)


def test_the_first_row_is_not_mixed_with_nothing() -> None:
    bank = empty(2, 2, dtype=torch.float64, momentum=0.1)

    bank.write(torch.tensor([1]), at(30), step=0)

    torch.testing.assert_close(bank.fetch(torch.tensor([1])), at(30))


def test_opposite_rows_take_the_new_one_and_zero_rows_stay_finite() -> None:
    bank = bank_of(at(0, 90), momentum=0.5)

    bank.write(torch.tensor([0]), at(180), step=1)
    bank.write(torch.tensor([1]), torch.zeros(1, 2, dtype=torch.float64), step=1)

    torch.testing.assert_close(bank.fetch(torch.tensor([0])), at(180))
    assert bank.fetch(torch.tensor([1])).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_what_a_write_reports_is_what_a_fetch_reads(dtype: torch.dtype) -> None:
    bank = empty(dtype=dtype)
    rows = torch.randn(4, 4, generator=GENERATOR)

    written = bank.write(torch.arange(4), rows, step=0)

    assert torch.equal(written.new, bank.fetch(torch.arange(4)))
    assert torch.equal(bank.write(torch.arange(4), rows, step=1).old, written.new)
    assert written.new.dtype == torch.float32


def test_no_negative_zero_is_stored() -> None:
    bank = empty(1, 2)

    bank.write(torch.tensor([0]), torch.tensor([[-0.0, 1.0]]), step=0)

    assert not torch.signbit(bank.fetch(torch.tensor([0]))).any()


def test_no_gradient_reaches_the_bank() -> None:
    bank, rows = empty(), torch.randn(2, 4, requires_grad=True)

    written = bank.write(torch.tensor([0, 1]), rows, step=0)

    assert not written.new.requires_grad
    assert not bank.rows.requires_grad


def test_blocks_cover_the_bank_once() -> None:
    bank = empty(9000, 2)

    assert [(start, len(rows), len(valid)) for start, rows, valid in bank.own_blocks()] == [
        (0, 4096, 4096),
        (4096, 4096, 4096),
        (8192, 808, 808),
    ]


def test_state_round_trips_bitwise() -> None:
    bank, other = empty(70_000, 2, dtype=torch.float16), empty(70_000, 2, dtype=torch.float16)
    bank.write(torch.arange(0, 70_000, 3), torch.randn(23_334, 2, generator=GENERATOR), step=5)
    parts = dict(bank.state_blocks())

    other.load_blocks(parts.__getitem__)

    assert list(parts) == ["bank_00000", "bank_00001"]
    assert torch.equal(other.rows, bank.rows)
    assert torch.equal(other.valid, bank.valid)
    assert (other.num_valid, other.mean_age(7)) == (bank.num_valid, bank.mean_age(7))


@pytest.mark.fault("N05")
def test_a_bank_of_another_size_is_refused() -> None:
    parts = dict(empty(10, 4).state_blocks())

    with pytest.raises(CheckpointError, match="bank_00000"):
        empty(11, 4).load_blocks(parts.__getitem__)
