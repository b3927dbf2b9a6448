"""Times: units, zones, order, rates, and the regular grid."""

import os
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.timestamps import check_rate, check_stamps, parse_time, stamps_from_column, to_grid
from pipeline.errors import DataError

NOON_NS = 1_793_016_000 * 10**9  # 2026-10-26T12:00:00Z


@pytest.mark.fault("D35")
@pytest.mark.parametrize(
    ("cell", "unit"),
    [
        ("1793016000", "s"),
        ("1793016000.000", "s"),
        ("1793016000000", "ms"),
        ("1793016000000000000", "ns"),
        ("2026-10-26T12:00:00Z", "iso"),
        ("2026-10-26 13:00:00+01:00", "iso"),
        ("2026-10-26T08:00:00-0400", "iso"),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kathmandu"])
def test_units_and_zones_agree_wherever_the_machine_is(
    cell: str, unit: str, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert parse_time(cell, unit) == NOON_NS  # type: ignore[arg-type]
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()
    assert "TZ" not in os.environ or os.environ["TZ"] != zone or zone == "UTC"


def test_nanoseconds_are_exact() -> None:
    assert parse_time("1793016000.123456789", "s") == NOON_NS + 123_456_789


@pytest.mark.fault("D35")
@pytest.mark.parametrize(
    ("cell", "unit"),
    [
        ("2026-10-26T12:00:00", "iso"),  # whose noon?
        ("1793016000", "ms"),  # January 1970
        ("1793016000000", "s"),  # year 58788
        ("yesterday", "iso"),
        ("", "s"),
        ("nan", "s"),
        ("inf", "s"),
        ("1e999999999", "s"),
    ],
)
def test_ambiguous_or_implausible_times_are_refused(cell: str, unit: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_time(cell, unit)  # type: ignore[arg-type]

    assert caught.value.code == "DATA_TIME"


def test_columns_of_integers_keep_every_nanosecond() -> None:
    stamps = np.array([NOON_NS + 1, NOON_NS + 3])

    assert stamps_from_column(stamps, "ns").tolist() == stamps.tolist()
    assert stamps_from_column(np.array([0.5, 1.25]), "s").tolist() == [500_000_000, 1_250_000_000]


@pytest.mark.fault("D35")
@pytest.mark.parametrize("values", [[0.0, np.nan], [0.0, np.inf], [0.0, 1e300]])
def test_missing_stamps_are_named_by_index(values: list[float]) -> None:
    with pytest.raises(DataError) as caught:
        stamps_from_column(np.array(values), "s")

    assert (caught.value.code, caught.value.got) == ("DATA_TIME", "index 1")


def test_integers_that_no_nanosecond_count_can_hold_are_named() -> None:
    with pytest.raises(DataError) as caught:
        stamps_from_column(np.array([0, NOON_NS // 10**6]), "s")

    assert (caught.value.code, caught.value.got) == ("DATA_TIME", "index 1")


@pytest.mark.fault("D35")
@pytest.mark.parametrize("stamps", [[0, 100, 100], [0, 100, 50]])
def test_stamps_that_do_not_increase_are_named(stamps: list[int]) -> None:
    with pytest.raises(DataError, match="index 2"):
        check_stamps(np.array(stamps), rate_hz=1e7, tolerance=0.01)


@pytest.mark.fault("D36")
def test_rates_beyond_the_tolerance_are_refused_with_both_numbers() -> None:
    check_rate(49.8, rate_hz=50.0, tolerance=0.005)
    with pytest.raises(DataError, match=r"49\.7 Hz, declared 50 Hz") as caught:
        check_rate(49.7, rate_hz=50.0, tolerance=0.005)

    assert caught.value.code == "DATA_RATE"


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.randoms())
def test_the_grid_is_linear_interpolation_with_gaps(intervals: list[int], random: object) -> None:
    stamps = np.cumsum([0, *intervals]) * 1_000_000  # ms
    values = np.random.default_rng(0).normal(size=(1, len(stamps)))

    grid = to_grid(values, stamps, rate_hz=100.0)

    for step in range(grid.shape[1]):
        moment = step * 10_000_000
        right = min(int(np.searchsorted(stamps, moment)), len(stamps) - 1)
        left = max(right - 1, 0)
        inside = stamps[left] < moment < stamps[right]
        if inside and stamps[right] - stamps[left] > 25_000_000:
            assert np.isnan(grid[0, step])
        else:
            assert grid[0, step] == pytest.approx(np.interp(moment, stamps, values[0]), abs=1e-9)


def test_regular_stamps_give_the_values_back() -> None:
    values = np.array([[1.0, np.nan, 3.0, 4.0]])

    np.testing.assert_array_equal(to_grid(values, np.arange(4) * 10_000_000, rate_hz=100.0), values)
    assert to_grid(values[:, :1], np.array([5]), rate_hz=100.0).tolist() == [[1.0]]


def test_one_wrong_stamp_does_not_take_all_memory() -> None:
    with pytest.raises(DataError) as caught:
        to_grid(np.zeros((1, 3)), np.array([0, 10**7, 10**18]), rate_hz=100.0)

    assert caught.value.code == "DATA_TIME"


def test_nearest_keeps_values_and_gaps_on_the_grid() -> None:
    stamps = np.array([0, 12, 19, 31, 100]) * 1_000_000

    grid = to_grid(np.array([[1.0, 2, 8, 4, 5]]), stamps, rate_hz=100.0, nearest=True)

    np.testing.assert_array_equal(grid[0, :4], [1, 2, 8, 4])
    assert np.isnan(grid[0, 4:10]).all()
    assert grid[0, 10] == 5
