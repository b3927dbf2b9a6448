"""A small folder of raw files as a user would have it, and its description."""

import csv
from pathlib import Path

import numpy as np

from pipeline.data.description import Description
from pipeline.data.index import Index, load_index
from pipeline.data.ingest import ingest
from pipeline.data.manifest import Manifest, load_manifest, stream_folder
from pipeline.data.read import ShardReader
from tests.toy_modality import SCHEMAS, make_codec

RATE_HZ = 10.0
NUM_RECORDS = 12


def write_raw(root: Path, *, num_records: int = NUM_RECORDS, num_steps: int = 20) -> list[dict[str, str]]:
    """Two-channel npy files, notes and a table: 4 subjects, 3 records each by default; returns the table's rows."""
    (root / "imu").mkdir(parents=True)
    generator = np.random.default_rng(0)
    rows = []
    for number in range(num_records):
        np.save(root / "imu" / f"r{number}.npy", generator.normal(size=(num_steps, 2)).astype(np.float32))
        rows.append(
            {
                "key": f"r{number}",
                "subject": str(number % 4),
                "activity": ("walk", "run", "sit")[number // 4 % 3],
                "imu": f"imu/r{number}.npy",
                "note": f"note {number} of subject {number % 4}",
            }
        )
    write_table(root, rows)
    return rows


def write_table(root: Path, rows: list[dict[str, str]]) -> None:
    """The table of records."""
    with (root / "records.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def describe(**changes: object) -> Description:
    """Description of `write_raw`'s folder: subject 2 validates, subject 3 tests; with top-level keys replaced."""
    document: dict[str, object] = {
        "records": {"kind": "csv", "path": "records.csv", "key": "key"},
        "streams": {
            "imu": {"kind": "npy", "path": "{imu}", "layout": "TC", "channels": ["x", "y"], "rate_hz": RATE_HZ},
            "note": {"kind": "column", "column": "note", "optional": True},
        },
        "groups": {"subject": "subject"},
        "labels": {"activity": "activity"},
        "split": {"kind": "values", "group": "subject", "validation": [2], "test": [3]},
    }
    return Description.model_validate(document | changes)


def ingest_toy(description: Description, root: Path, out: Path) -> Manifest:
    """Ingest with toy codecs."""
    schemas = {name: SCHEMAS.get(name, {"kind": "toy"}) for name in description.streams}
    return ingest(description, root, out, schemas=schemas, make_codec=make_codec)


def open_reader(out: Path) -> tuple[ShardReader, Index]:
    """Reader and index of an ingested folder."""
    manifest = load_manifest(out)
    index = load_index(out, manifest)
    codecs = {name: make_codec(name, stream_folder(out, name)) for name in manifest.streams}
    return ShardReader(out, manifest, index, codecs), index
