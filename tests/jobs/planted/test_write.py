"""Raw files: readable by ordinary tools, and consistent with the truth."""

import csv
import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from jobs.planted.config import PlantedConfig
from jobs.planted.factors import draw_events
from jobs.planted.gestures import ACTIVITIES, GESTURES
from jobs.planted.signals import CHANNELS
from jobs.planted.write import write_planted

CONFIG = PlantedConfig(num_subjects=3, events_per_session=16, missing_imu=0.2, missing_note=0.3, nan_gap_rate=0.5)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("planted")
    write_planted(CONFIG, folder)
    return folder


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_same_config_same_bytes(root, tmp_path):
    write_planted(CONFIG, tmp_path)

    assert digests(tmp_path) == digests(root)


def test_device_strength_changes_sensor_files_only(root, tmp_path):
    write_planted(CONFIG.model_copy(update={"device_offset": 0.0}), tmp_path)
    before, after = digests(root), digests(tmp_path)
    moved = {name for name in before if before[name] != after[name]}

    assert moved == {name for name in before if name.startswith("imu/")}


def test_one_row_an_event_with_distinct_keys(root):
    records = table(root / "records.csv")

    assert [row["key"] for row in records] == [event.key for event in draw_events(CONFIG)]
    assert len({row["key"] for row in records}) == 3 * 2 * 16


def test_files_exist_exactly_where_the_table_says(root):
    named = {row[stream] for row in table(root / "records.csv") for stream in ("imu", "photo") if row[stream]}
    found = {str(path.relative_to(root)) for folder in ("imu", "photo") for path in (root / folder).iterdir()}

    assert named == found


def test_truth_agrees_with_records(root):
    for row, truth in zip(table(root / "records.csv"), table(root / "truth.csv"), strict=True):
        streams = [name for name in ("imu", "photo", "note") if row[name]]

        assert row["key"] == truth["key"]
        assert row["activity"] == ACTIVITIES[int(truth["activity"])] == f"{truth['first']}_{truth['second']}"
        assert truth["streams"] == "+".join(streams)
        assert truth["first"] in GESTURES


def test_recordings_have_named_channels_regular_utc_stamps_and_the_told_gaps(root):
    truths = {row["key"]: row for row in table(root / "truth.csv")}
    lengths, gaps = set(), 0
    for row in table(root / "records.csv"):
        if not row["imu"]:
            continue
        recording = pd.read_csv(root / row["imu"])
        lengths.add(len(recording))
        gap_steps = int(recording[list(CHANNELS)].isna().any(axis=1).sum())
        gaps += gap_steps > 0

        assert list(recording.columns) == ["time_ns", *CHANNELS]
        assert recording["time_ns"].iloc[0] == int(row["start_ns"])
        assert set(np.diff(recording["time_ns"])) == {40_000_000}
        assert len(recording) == round(float(row["length_s"]) * 25.0)
        assert gap_steps == int(truths[row["key"]]["gap_steps"])
    assert len(lengths) > 20
    assert gaps > 10


def test_photos_are_64_pixel_rgb(root):
    for path in sorted((root / "photo").iterdir())[:10]:
        with Image.open(path) as photo:
            assert (photo.size, photo.mode) == ((64, 64), "RGB")


def test_steps_are_written_where_they_are_asked_for_and_change_nothing_else(root, tmp_path):
    write_planted(CONFIG.model_copy(update={"gesture_steps": True}), tmp_path)
    before, after = digests(root), digests(tmp_path)
    more = after.keys() - before.keys()

    assert {name: after[name] for name in before} == before
    assert {name.replace("steps/", "imu/") for name in more} == {name for name in before if name.startswith("imu/")}
    assert "gesture_steps" not in CONFIG.model_dump()
    for name in more:
        labels, recording = pd.read_csv(tmp_path / name), pd.read_csv(tmp_path / name.replace("steps", "imu"))
        assert labels["time_ns"].equals(recording["time_ns"])
