"""Rows are the same whether they are a range, an array in memory, or a mapped file."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.rows import RangeRows, SortedRows, rows_of
from pipeline.errors import ConfigError

samples = st.sets(st.integers(0, 10**12), min_size=1, max_size=100)


@settings(derandomize=True, deadline=None)
@given(samples, st.randoms(use_true_random=False), st.integers(0, 10**12))
def test_rows_are_the_sorted_samples_and_find_is_the_inverse_of_take(idx: set[int], random: object, other: int) -> None:
    shuffled = list(idx)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    rows, positions = rows_of(np.array(shuffled)), np.arange(len(idx))

    assert len(rows) == len(idx)
    assert rows.take(positions).tolist() == sorted(idx)
    assert np.array_equal(rows.find(rows.take(positions)), positions)
    assert (int(rows.find(np.array([other]))[0]) >= 0) == (other in idx)


def test_a_range_costs_nothing_and_a_mapped_file_is_not_copied(tmp_path: Path) -> None:
    np.save(tmp_path / "idx.npy", np.arange(0, 1000, 3))
    mapped = np.load(tmp_path / "idx.npy", mmap_mode="r")

    assert rows_of(np.arange(50, 90)) == RangeRows(50, 40)
    rows = rows_of(mapped)
    assert isinstance(rows, SortedRows)
    assert np.shares_memory(rows.idx, mapped)
    assert rows.take(np.array([2, 0])).tolist() == [6, 0]


def test_repeated_samples_are_refused() -> None:
    with pytest.raises(ConfigError, match="repeat"):
        rows_of(np.array([1, 2, 2]))
