"""Windows of long recordings: which there are, what they hold, where they lie in time."""

import json
from pathlib import Path

import numpy as np
import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.series import Series
from pipeline.data.windows import WindowConfig, align, cut
from pipeline.errors import DataError, Problems
from tests.pipeline.data.raw_files_of_a_user import describe, ingest_toy, open_reader, write_raw, write_table

NOON_NS = 1_793_016_000 * 10**9


def ramp(steps: int, rate_hz: float, first_ns: int | None = None) -> Series:
    """One channel that counts its steps."""
    return Series(np.arange(steps, dtype=np.float32)[None], rate_hz, first_ns)


@given(st.integers(1, 200), st.integers(1, 40), st.integers(1, 40))
def test_whole_windows_cover_what_they_should(steps: int, length: int, stride: int) -> None:
    config = WindowConfig(length_s=length / 10, stride_s=stride / 10)

    windows, dropped = cut({"a": ramp(steps, 10.0)}, config, required=frozenset({"a"}))

    expected = [list(range(start, start + length)) for start in range(0, steps - length + 1, stride)]
    assert [window.series["a"].values[0].tolist() for window in windows] == expected
    assert dropped == (not expected)


@given(st.integers(1, 100), st.floats(0.1, 1.0))
def test_partial_windows_hold_at_least_their_share(steps: int, share: float) -> None:
    config = WindowConfig(length_s=2.0, stride_s=1.0, min_fraction=share)

    windows, _ = cut({"a": ramp(steps, 10.0)}, config, required=frozenset({"a"}))

    lengths = [window.series["a"].values.shape[1] for window in windows]
    reference = [min(20, steps - start) for start in range(0, steps, 10) if min(20, steps - start) >= share * 20 - 1e-6]
    assert lengths == reference


def test_streams_of_other_rates_cover_the_same_time() -> None:
    windows, _ = cut(
        {"fast": ramp(100, 50.0), "slow": ramp(20, 10.0)},
        WindowConfig(length_s=1.0, stride_s=0.5),
        required=frozenset({"fast", "slow"}),
    )

    assert [window.start_s for window in windows] == [0.0, 0.5, 1.0]
    assert windows[1].series["fast"].values[0, [0, -1]].tolist() == [25, 74]
    assert windows[1].series["slow"].values[0, [0, -1]].tolist() == [5, 14]


def test_a_short_optional_stream_is_absent_and_a_short_required_one_drops_the_window() -> None:
    both = {"a": ramp(40, 10.0), "b": ramp(25, 10.0)}
    config = WindowConfig(length_s=1.0, stride_s=1.0)

    optional, none_dropped = cut(both, config, required=frozenset({"a"}))
    required, dropped = cut(both, config, required=frozenset({"a", "b"}))

    assert [sorted(window.series) for window in optional] == [["a", "b"], ["a", "b"], ["a"], ["a"]]
    assert [window.number for window in required] == [0, 1]
    assert (none_dropped, dropped) == (0, 2)


def test_windows_that_are_mostly_gaps_are_dropped() -> None:
    values = np.ones((1, 40), np.float32)
    values[0, 10:16] = np.nan

    windows, dropped = cut(
        {"a": Series(values, 10.0)}, WindowConfig(length_s=1.0, stride_s=1.0), required=frozenset({"a"})
    )

    assert [window.number for window in windows] == [0, 2, 3]
    assert dropped == 1


def test_timed_streams_are_brought_to_one_origin() -> None:
    aligned, origin = align({"a": ramp(5, 10.0, 10**9), "b": ramp(5, 10.0, 10**9 - 210_000_000), "c": ramp(3, 10.0)})

    assert origin == 10**9 - 210_000_000
    np.testing.assert_array_equal(aligned["a"].values, [[np.nan, np.nan, 0, 1, 2, 3, 4]])
    np.testing.assert_array_equal(aligned["b"].values, [[0, 1, 2, 3, 4]])
    np.testing.assert_array_equal(aligned["c"].values, [[0, 1, 2]])


def test_streams_a_day_apart_are_refused() -> None:
    with pytest.raises(DataError) as caught:
        align({"a": ramp(5, 10.0, 0), "b": ramp(5, 10.0, 25 * 3600 * 10**9)})

    assert caught.value.code == "DATA_TIME"


def test_windows_become_samples_with_times_groups_and_texts(tmp_path: Path) -> None:
    rows = write_raw(tmp_path / "raw", num_steps=30)
    write_table(tmp_path / "raw", [{**row, "start": "2026-10-26T13:00:00+01:00"} for row in rows])
    description = describe(window={"length_s": 1, "stride_s": 0.5}, start={"column": "start"})

    manifest = ingest_toy(description, tmp_path / "raw", tmp_path / "data")

    reader, index = open_reader(tmp_path / "data")
    assert (manifest.num_samples, manifest.num_records) == (60, 12)
    assert index.key[:6].tolist() == [*(f"r0-{w:05d}" for w in range(5)), "r1-00000"]
    assert index.window[:6].tolist() == [0, 1, 2, 3, 4, 0]
    assert index.record[[0, 4, 5]].tolist() == [0, 0, 1]
    assert ((index.start_ns[:5] - NOON_NS) / 1e9).tolist() == [0, 0.5, 1, 1.5, 2]
    assert ((index.end_ns - index.start_ns) / 1e9).tolist() == [1.0] * 60
    raw = np.load(tmp_path / "raw" / "imu" / "r0.npy")
    batch = reader.batch(np.array([3, 0]), streams=["imu", "note"])
    np.testing.assert_array_equal(batch.signals["imu"].values[0, :, :10].numpy(), raw[15:25].T)
    assert batch.signals["note"].present.all()
    assert batch.content["note"][0] == batch.content["note"][1]
    (sample, *_) = webdataset.WebDataset([str(tmp_path / "data/shards/shard-00000.tar")], shardshuffle=False)
    assert json.loads(sample["meta.json"])["start_ns"] == NOON_NS


def test_a_record_too_short_for_any_window_is_reported(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw")
    np.save(tmp_path / "raw" / "imu" / "r5.npy", np.zeros((4, 2)))
    window = {"length_s": 1, "stride_s": 1}

    with pytest.raises(Problems) as caught:
        ingest_toy(describe(window=window), tmp_path / "raw", tmp_path / "data")
    manifest = ingest_toy(describe(window=window, policy="quarantine"), tmp_path / "raw", tmp_path / "data")

    assert [(p.code, p.key) for p in caught.value.problems] == [("DATA_NO_WINDOW", "r5")]
    assert manifest.quarantine == ("r5",)
