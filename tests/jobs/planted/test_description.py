"""The description reads the raw files back as they were rendered."""

import numpy as np
import pytest

from jobs.planted.config import PlantedConfig
from jobs.planted.description import description
from jobs.planted.factors import draw_events
from jobs.planted.gestures import GESTURES
from jobs.planted.notes import write_note
from jobs.planted.signals import render_imu
from jobs.planted.write import write_planted
from modalities.sensor.codec import SensorSchema
from pipeline.data.description import Description
from pipeline.data.file_source import RawData
from pipeline.data.records import Record
from pipeline.data.series import Series
from pipeline.data.split import split_records

CONFIG = PlantedConfig(num_subjects=8, events_per_session=4, missing_imu=0.3, nan_gap_rate=1.0)


@pytest.fixture(scope="module")
def parsed() -> Description:
    return Description.model_validate({k: v for k, v in description(CONFIG).items() if k != "schemas"})


@pytest.fixture(scope="module")
def records(parsed, tmp_path_factory) -> tuple[list[Record], RawData]:
    root = tmp_path_factory.mktemp("planted")
    write_planted(CONFIG, root)
    rows = parsed.records.rows(root)
    return [Record(i, row["key"], row) for i, row in enumerate(rows)], RawData(root)


def test_columns_exist(parsed, records):
    assert parsed.columns().keys() <= records[0][0].row.keys()


def test_sensor_comes_back_with_its_gaps(parsed, records):
    rows, data = records
    for event, record in zip(draw_events(CONFIG), rows, strict=True):
        series = parsed.streams["imu"].read(record, data)
        if "imu" not in event.present:
            assert series is None
            continue
        assert isinstance(series, Series)
        assert series.first_ns == event.start_ns
        np.testing.assert_allclose(series.values.T, render_imu(event, CONFIG), atol=1e-4)


def test_notes_and_photos_come_back(parsed, records):
    rows, data = records
    for event, record in zip(draw_events(CONFIG), rows, strict=True):
        note, photo = (parsed.streams[name].read(record, data) for name in ("note", "photo"))

        assert note == (write_note(event, CONFIG) if "note" in event.present else None)
        assert (photo is not None) == ("photo" in event.present)


def test_gestures_of_steps_belong_to_the_sensor_stream():
    config = CONFIG.model_copy(update={"gesture_steps": True})
    found = Description.model_validate({k: v for k, v in description(config).items() if k != "schemas"})

    assert found.step_labels["gesture"].stream == "imu"
    assert found.step_labels["gesture"].class_names == ("rest", *GESTURES)


def test_whole_subjects_are_held_out(parsed, records):
    splits = split_records(parsed.split, records[0])
    by_subject = {}
    for record, split in zip(records[0], splits, strict=True):
        by_subject.setdefault(record.row["subject"], set()).add(split)

    assert all(len(found) == 1 for found in by_subject.values())
    assert sorted(next(iter(found)) for found in by_subject.values()) == ["test"] * 2 + ["train"] * 5 + ["validation"]


def test_sensor_schema_holds_the_longest_recording():
    schema = SensorSchema.model_validate(description(CONFIG)["schemas"]["imu"])

    assert max(render_imu(event, CONFIG).shape[0] for event in draw_events(CONFIG)) <= schema.max_steps
