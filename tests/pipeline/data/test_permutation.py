"""The keyed permutation is a bijection of any range, looks random, and any position costs the same."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.permutation import numbered_keys, permute

exact = settings(derandomize=True, deadline=None)


@exact
@given(st.integers(1, 3000), st.integers(0, 2**63 - 1))
def test_it_is_a_bijection_of_its_range(size: int, key: int) -> None:
    assert np.array_equal(np.sort(permute(np.arange(size), size=size, key=key)), np.arange(size))


@exact
@given(st.integers(1, 2**40), st.integers(0, 2**63 - 1), st.data())
def test_positions_of_large_ranges_stay_inside_and_apart(size: int, key: int, data: st.DataObject) -> None:
    positions = np.array(data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=50, unique=True)))

    images = permute(positions, size=size, key=key)

    assert 0 <= images.min() <= images.max() < size
    assert len(np.unique(images)) == len(positions)


@exact
@given(st.lists(st.tuples(st.integers(1, 500), st.integers(0, 2**63 - 1)), min_size=1, max_size=20), st.data())
def test_sizes_and_keys_may_differ_by_position(which: list[tuple[int, int]], data: st.DataObject) -> None:
    positions = np.array([data.draw(st.integers(0, size - 1)) for size, _ in which])
    sizes, keys = (np.array(column, np.uint64) for column in zip(*which, strict=True))

    together = permute(positions, size=sizes, key=keys)
    single = [int(permute(positions[i : i + 1], size=s, key=k)[0]) for i, (s, k) in enumerate(which)]

    assert together.tolist() == single


@pytest.mark.parametrize("size", [2, 3, 4])
def test_every_order_of_a_few_things_is_about_equally_likely(size: int) -> None:
    keys = numbered_keys(7, np.arange(12_000))
    images = permute(np.tile(np.arange(size), len(keys)), size=size, key=np.repeat(keys, size))
    seen = Counter(map(tuple, images.reshape(-1, size).tolist()))
    expected = len(keys) / math.factorial(size)

    assert len(seen) == math.factorial(size)
    assert all(abs(times - expected) < 0.2 * expected for times in seen.values())


def test_neighbours_are_spread_and_the_key_matters() -> None:
    images = permute(np.arange(100_000), size=100_000, key=1)
    others = permute(np.arange(100_000), size=100_000, key=2)

    assert abs(np.corrcoef(np.arange(100_000), images)[0, 1]) < 0.01
    assert abs(np.corrcoef(images[:-1], images[1:])[0, 1]) < 0.01
    assert abs(np.corrcoef(images, others)[0, 1]) < 0.01
    assert 0 < (images == others).sum() + 1 < 20


def test_values_are_pinned() -> None:
    assert permute(np.arange(5), size=10**12, key=3).tolist() == PINNED


PINNED = [848994303317, 740650726941, 625191507309, 643850814000, 151230090511]
