"""Small planted data sets, clean or with one leak each, and what the probe stage and `kindred verify` make of them."""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from jobs._run_folder import RunFolder
from jobs.assemble import open_dataset
from jobs.configs import Recipe
from jobs.planted.config import PlantedConfig
from jobs.planted.write import write_planted
from jobs.probe import probe
from jobs.stages import Context
from jobs.verify import verify
from pipeline.config import load_config
from pipeline.errors import KindredError, Problems
from pipeline.tracking import Spool
from tests.jobs.tiny_run import RECIPE, SMALL, finish
from tests.pipeline.data.signed_manifest import signed

PLANTED = {"num_subjects": 6, "sessions_per_subject": 1, "events_per_session": 24, "num_activities": 4}
OVERRIDES = [
    *(text for text in SMALL if "generate" not in text),
    "data.generate=null",
    "objectives=[{kind: cross, projection: {hidden: 16, dim: 8}}]",
    "relations={}",
    "probe.draws=1",
]
BY_COLUMN = "data.ingest.split={kind: column, column: part, disjoint: []}"
PARTS = {"s000": "train", "s001": "train", "s002": "train", "s003": "validation", "s004": "test", "s005": "test"}

Row = dict[str, str]
Plant = Callable[[Path, list[Row]], None]
"""Changes raw files and the rows of their table."""


@dataclass(frozen=True)
class Audit:
    """What an audit refuses, and what it warns of."""

    problems: list[KindredError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def leave_alone(root: Path, rows: list[Row]) -> None:
    """A clean data set, in which some sensors lay still: equally long, of values that differ in the last digit."""
    recorded = [row for row in rows if row["imu"]]
    for number, row in enumerate(recorded[:: len(recorded) // 4]):
        steps = (root / row["imu"]).read_text().splitlines()[:76]
        stamps = [line.split(",")[0] for line in steps[1:]]
        cells = ",".join([f"{0.5 + number * 1e-4:.4f}"] * 6)
        (root / row["imu"]).write_text("\n".join([steps[0], *(f"{stamp},{cells}" for stamp in stamps)]) + "\n")
        row["photo"] = ""


def one_subject_on_both_sides(root: Path, rows: list[Row]) -> None:
    """Half of the events of s002, who trains, test."""
    for number, row in enumerate(row for row in rows if row["subject"] == "s002"):
        row["part"] = "test" if number % 2 else "train"


def overlapping_windows(root: Path, rows: list[Row]) -> None:
    """What one recording of training holds from its first second on is another record, which tests."""
    first = next(row for row in rows if row["part"] == "train" and row["imu"])
    header, *steps = (root / first["imu"]).read_text().splitlines()
    (root / "imu" / "again.csv").write_text("\n".join([header, *steps[25:]]) + "\n")
    start = str(int(first["start_ns"]) + 10**9)
    again = {"key": "again", "imu": "imu/again.csv", "photo": "", "note": "", "start_ns": start, "part": "test"}
    rows.append({**first, **again})


def near_copies(root: Path, rows: list[Row], *, noise: float = 0.01) -> None:
    """A sample of s004, who tests, has sensor and photo of a training sample, with noise of a part of their spread."""
    both = [row for row in rows if row["imu"] and row["photo"]]
    source = next(row for row in both if row["part"] == "train")
    target = next(row for row in both if row["part"] == "test")
    header, *steps = (root / source["imu"]).read_text().splitlines()
    table = np.array([[float(cell or "nan") for cell in line.split(",")[1:]] for line in steps])
    rng = np.random.default_rng(0)
    table += noise * np.nanstd(table, axis=0) * rng.normal(size=table.shape)
    first = int(target["start_ns"])
    stamps = [first + int(line.split(",")[0]) - int(source["start_ns"]) for line in steps]
    lines = [
        f"{stamp},{','.join('' if np.isnan(v) else f'{v:.6f}' for v in row)}"
        for stamp, row in zip(stamps, table, strict=True)
    ]
    (root / target["imu"]).write_text("\n".join([header, *lines]) + "\n")
    photo = np.asarray(Image.open(root / source["photo"])).astype(int)
    Image.fromarray(np.clip(photo + rng.integers(-1, 2, photo.shape), 0, 255).astype(np.uint8)).save(
        root / target["photo"]
    )


def captions_that_name_the_class(root: Path, rows: list[Row]) -> None:
    """Every note that there is begins with the activity."""
    for row in rows:
        row["note"] = row["note"] and f"{row['activity']} {row['note']}"


def folders_that_name_the_class(root: Path, rows: list[Row]) -> None:
    """A group column that is the name of a folder, one folder a class."""
    for row in rows:
        row["device"] = f"raw/{row['activity']}"


def audited(folder: Path, *, seed: int = 0, plant: Plant = leave_alone, overrides: list[str] | None = None) -> Audit:
    """Ingest planted data with `plant` in it, pretrain, and audit as the stages do."""
    context = ingested(folder, seed=seed, plant=plant, overrides=overrides or [])
    return audit(context)


def ingested(folder: Path, *, seed: int, plant: Plant, overrides: list[str]) -> Context:
    """The context of a run whose data set is ingested."""
    raw = folder / "raw"
    write_planted(PlantedConfig.model_validate({**PLANTED, "seed": seed, "min_length_s": 3, "max_length_s": 4}), raw)
    with (raw / "records.csv").open(encoding="utf-8") as file:
        rows = [{**row, "part": PARTS[row["subject"]]} for row in csv.DictReader(file)]
    plant(raw, rows)
    with (raw / "records.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    recipe = load_config(Recipe, RECIPE, [*OVERRIDES, f"data.root={raw}", f"out={folder}", BY_COLUMN, *overrides])
    spool = Spool(folder / "tracking" / "test.jsonl")
    context = Context(recipe, RunFolder(folder), spool, spool)
    finish(context, "ingest")
    return context


def audit(context: Context) -> Audit:
    """What `kindred verify` and the probe stage refuse and warn of."""
    problems: list[KindredError] = []
    warnings: list[str] = []
    try:
        verify(str(context.folder.path / "data"), workers=1)
    except Problems as found:
        problems += found.problems
    finish(context, "pretrain")
    try:
        warnings = [str(text) for text in probe(context)["warnings"]]  # pyright: ignore[reportGeneralTypeIssues]
    except Problems as found:
        problems += found.problems
    return Audit(problems, warnings)


def statistics_of_everything(folder: Path, stream: str) -> None:
    """The manifest's statistics of a sensor stream become those of all samples, with a hash that is right."""
    dataset = open_dataset(folder)
    signal = dataset.reader.batch(np.arange(len(dataset.index)), streams=[stream]).signals[stream]
    assert signal.mask is not None
    observed = signal.values.double().where(signal.mask, float("nan")).transpose(0, 1).flatten(1).numpy()
    document = json.loads((folder / "manifest.json").read_text())
    document["streams"][stream]["statistics"] |= {
        "mean": np.nanmean(observed, axis=1).tolist(),
        "std": np.nanstd(observed, axis=1).tolist(),
    }
    (folder / "manifest.json").write_text(signed(document))
