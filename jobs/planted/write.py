"""Writes planted data as the raw files a user would have: a table of records, a CSV per sensor recording, PNG photos.

records.csv   key, subject, device, session, activity, tag, start_ns (UTC), length_s, imu and photo paths, note
imu/KEY.csv   time_ns (UTC) and six channels, one row a step; an empty cell where the unit dropped out
steps/KEY.csv time_ns (UTC) and the gesture of each step, only where `gesture_steps` asks for it
photo/KEY.png 64 x 64 RGB
truth.csv     every planted factor of every event; not for training
"""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from jobs.planted.config import PlantedConfig
from jobs.planted.factors import Event, draw_events
from jobs.planted.gestures import GESTURES
from jobs.planted.images import render_photo
from jobs.planted.notes import write_note
from jobs.planted.signals import CHANNELS, gesture_steps, render_imu, subject_style


def write_planted(config: PlantedConfig, root: Path) -> None:
    """All raw files below `root`, the tables last. The same config writes the same bytes."""
    for folder in ("imu", "photo", *(("steps",) if config.gesture_steps else ())):
        (root / folder).mkdir(parents=True, exist_ok=True)
    events = draw_events(config)
    truth = [_write_event(event, config, root) for event in events]
    _write_table(root / "truth.csv", truth)
    _write_table(root / "records.csv", [_record(event, config) for event in events])


def _write_event(event: Event, config: PlantedConfig, root: Path) -> dict[str, object]:
    """Sensor and photo files of one event; returns its row of truth.csv."""
    gap_steps = 0
    if "imu" in event.present:
        readings = render_imu(event, config)
        gap_steps = int(np.isnan(readings).any(axis=1).sum())
        (root / _path(event, "imu")).write_text(_imu_csv(readings, event, config), encoding="utf-8")
        if config.gesture_steps:
            steps = gesture_steps(event, config)
            (root / "steps" / f"{event.key}.csv").write_text(_steps_csv(steps, event, config), encoding="utf-8")
    if "photo" in event.present:
        Image.fromarray(render_photo(event, config)).save(root / _path(event, "photo"), compress_level=1)
    return _truth(event, config, gap_steps)


def _imu_csv(readings: np.ndarray, event: Event, config: PlantedConfig) -> str:
    lines = [",".join(["time_ns", *CHANNELS])]
    for stamp, row in zip(_stamps(event, config, len(readings)), readings.tolist(), strict=True):
        cells = ("" if value != value else f"{value:.4f}" for value in row)  # only NaN differs from itself
        lines.append(f"{stamp},{','.join(cells)}")
    return "\n".join(lines) + "\n"


def _steps_csv(steps: np.ndarray, event: Event, config: PlantedConfig) -> str:
    rows = zip(_stamps(event, config, len(steps)), steps.tolist(), strict=True)
    return "\n".join(["time_ns,gesture", *(f"{stamp},{gesture}" for stamp, gesture in rows)]) + "\n"


def _stamps(event: Event, config: PlantedConfig, steps: int) -> list[int]:
    return (event.start_ns + np.round(np.arange(steps) * 1e9 / config.rate_hz).astype(np.int64)).tolist()


def _path(event: Event, stream: str) -> str:
    """Path below the root, empty where the stream was not recorded."""
    extension = {"imu": "csv", "photo": "png"}[stream]
    return f"{stream}/{event.key}.{extension}" if stream in event.present else ""


def _record(event: Event, config: PlantedConfig) -> dict[str, object]:
    return {
        "key": event.key,
        "subject": f"s{event.subject:03d}",
        "device": f"d{event.device:02d}",
        "session": f"s{event.subject:03d}-{event.session:04d}",
        "activity": event.activity_name,
        "tag": event.tag,
        "start_ns": event.start_ns,
        "length_s": event.length_s,
        "imu": _path(event, "imu"),
        "photo": _path(event, "photo"),
        "note": write_note(event, config) if "note" in event.present else "",
    }


def _truth(event: Event, config: PlantedConfig, gap_steps: int) -> dict[str, object]:
    style = subject_style(event.subject, config)
    return {
        "key": event.key,
        "subject": event.subject,
        "device": event.device,
        "session": event.session,
        "activity": event.activity,
        "first": GESTURES[event.pair[0]],
        "second": GESTURES[event.pair[1]],
        "effort": event.effort_name,
        "length_s": event.length_s,
        "tempo": round(style.tempo, 6),
        "amplitude": round(style.amplitude, 6),
        "streams": "+".join(event.present),
        "gap_steps": gap_steps,
    }


def _write_table(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    rows = list(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
