"""Planted leaks are found, and only those."""

import numpy as np
import pytest

from pipeline.errors import LeakError, Problems
from pipeline.evaluate.leakage import (
    chance_limit,
    content_leaks,
    group_leaks,
    metadata_leaks,
    overlap_leaks,
    raise_leaks,
    text_leaks,
)
from pipeline.evaluate.probe import ProbeConfig, ProbeRow, ProbeTask, probe

SECOND = 1_000_000_000
SPLIT = np.repeat(["train", "validation", "test"], [60, 20, 20])
SUBJECT = np.array([f"s{i // 10}" for i in range(100)])
KEYS = np.array([f"k{i}" for i in range(100)])
START = (np.arange(100) * 2 * SECOND).astype(np.int64)
RECORDING = np.array([f"r{i // 50}" for i in range(100)])


def found_in(leaks: list[LeakError]) -> str:
    assert len(leaks) == 1
    return str(leaks[0])


def test_a_clean_split_has_no_leaks():
    content = {"imu": np.arange(100), "note": np.arange(100) % 5}

    assert group_leaks(SPLIT, SUBJECT, name="subject") == []
    assert overlap_leaks(SPLIT, RECORDING, start_ns=START, end_ns=START + 2 * SECOND, keys=KEYS) == []
    assert content_leaks(SPLIT, content, keys=KEYS) == []


def test_a_subject_on_both_sides_is_found():
    subject = SUBJECT.copy()
    subject[95] = "s2"

    assert "s2" in found_in(group_leaks(SPLIT, subject, name="subject"))


def test_unknown_groups_are_not_one_group():
    subject = SUBJECT.copy()
    subject[[0, 99]] = ""

    assert group_leaks(SPLIT, subject, name="subject") == []


@pytest.mark.parametrize("shift", [1, SECOND])
def test_a_window_shifted_into_another_split_is_found(shift):
    """Sample 60 is validation; 59 is training and ends where 60 begins, unless it is longer."""
    end = START + 2 * SECOND
    end[59] += shift

    assert "k60" in found_in(overlap_leaks(SPLIT, RECORDING, start_ns=START, end_ns=end, keys=KEYS))


def test_a_long_window_is_seen_past_its_neighbours():
    end = START + 2 * SECOND
    end[50] = START[85]

    leaks = found_in(overlap_leaks(SPLIT, RECORDING, start_ns=START, end_ns=end, keys=KEYS))
    assert leaks.startswith("LEAK: 25 windows")


def test_overlap_in_one_split_or_another_recording_or_without_times_is_none():
    end = START + 2 * SECOND
    end[10] = START[59]
    apart = np.array([f"r{i}" for i in range(100)])
    unknown = np.full(100, -1)

    assert overlap_leaks(SPLIT, RECORDING, start_ns=START, end_ns=end, keys=KEYS) == []
    assert overlap_leaks(SPLIT, apart, start_ns=START * 0, end_ns=end, keys=KEYS) == []
    assert overlap_leaks(SPLIT, RECORDING, start_ns=unknown, end_ns=unknown, keys=KEYS) == []


def test_a_copied_sample_is_found_and_a_shared_caption_is_not():
    content = {"imu": np.arange(100), "note": np.arange(100) % 5}
    assert content_leaks(SPLIT, content, keys=KEYS) == []
    content["imu"][90] = content["imu"][10]

    assert "k10" in found_in(content_leaks(SPLIT, content, keys=KEYS))


def test_absent_streams_neither_hide_nor_make_a_copy():
    absent = -1 - np.arange(100)
    imu = np.arange(100)
    assert content_leaks(SPLIT, {"imu": absent, "photo": absent}, keys=KEYS) == []
    imu[90] = imu[10]

    assert content_leaks(SPLIT, {"imu": imu, "photo": absent}, keys=KEYS) != []


def row_of(x: np.ndarray, y: np.ndarray, source: str = "metadata") -> ProbeRow:
    groups = np.array([f"s{i // 20}" for i in range(len(y))])
    half = len(y) // 2
    task = ProbeTask(y, groups, np.arange(half), np.arange(half, len(y)), 3)
    config = ProbeConfig(methods=("linear",), label_percents=(100,))
    return probe(x, task, subset="note", config=config, seed=0, source=source)[0]


@pytest.mark.parametrize("seed", range(20))
def test_metadata_that_knows_nothing_is_silent_and_a_class_column_is_not(seed):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, 600)
    noise = rng.normal(size=(600, 4)).astype(np.float32)

    assert metadata_leaks(row_of(noise, y)) == []
    assert len(metadata_leaks(row_of(np.column_stack([noise, y == 1]).astype(np.float32), y))) == 1


def test_captions_that_name_the_class_are_found_and_informative_ones_are_not():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 600)
    names, hints = np.eye(3, dtype=np.float32)[y], np.eye(3, dtype=np.float32)[np.where(y == 2, 1, y)]

    assert "note" in found_in(text_leaks(row_of(names, y, "features")))
    assert text_leaks(row_of(hints, y, "features")) == []


def test_the_limit_is_three_standard_errors_above_the_commonest_class():
    y = np.repeat([0, 1], [60, 40])

    assert chance_limit(y) == pytest.approx(0.6 + 3 * (0.6 * 0.4 / 100) ** 0.5)


def test_all_leaks_are_raised_together():
    leaks = group_leaks(SPLIT, np.array(["s"] * 100), name="subject") * 2
    raise_leaks([])

    with pytest.raises(Problems, match="2 problems") as raised:
        raise_leaks(leaks)
    assert raised.value.exit_code == 65
