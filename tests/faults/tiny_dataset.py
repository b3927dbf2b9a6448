"""A small tri-modal data set of several shards, made by the real ingest from raw files."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image
from pydantic import JsonValue, TypeAdapter

from modalities.catalogue import AnySchema, codec_for
from modalities.spec import Codec
from pipeline.data.description import Description
from pipeline.data.ingest import ingest
from pipeline.data.manifest import Manifest

NUM_RECORDS = 24
SCHEMAS = {
    "imu": {"kind": "sensor", "channels": ["x", "y", "z"], "rate_hz": 10, "max_steps": 16},
    "photo": {"kind": "image", "height": 16, "width": 16, "store": "jpeg"},
    "note": {"kind": "text", "max_tokens": 16},
}


def description() -> Description:
    """Four subjects; every fifth record has no photo."""
    return Description.model_validate(
        {
            "records": {"kind": "csv", "path": "records.csv", "key": "key"},
            "streams": {
                "imu": {"kind": "npy", "path": "{key}.npy", "layout": "CT", "channels": ["x", "y", "z"], "rate_hz": 10},
                "photo": {"kind": "file", "path": "{photo}", "optional": True},
                "note": {"kind": "column", "column": "note"},
            },
            "groups": {"subject": "subject"},
            "labels": {"activity": "activity"},
            "split": {"kind": "values", "group": "subject", "validation": [2], "test": [3]},
            "shard_mib": 0.02,
        }
    )


def write_raw(root: Path) -> None:
    """Raw files as a user would have them."""
    root.mkdir(parents=True)
    generator, rows = np.random.default_rng(0), []
    for number in range(NUM_RECORDS):
        key = f"r{number:02d}"
        np.save(root / f"{key}.npy", generator.normal(size=(3, 16)).astype(np.float32))
        photo = "" if number % 5 == 0 else f"{key}.png"
        if photo:
            Image.fromarray(generator.integers(0, 256, (16, 16, 3)).astype(np.uint8)).save(root / photo)
        activity, subject = ("walk", "run")[number % 2], str(number % 4)
        rows.append([key, photo, f"note {number} of {subject}", subject, activity])
    with (root / "records.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["key", "photo", "note", "subject", "activity"], *rows])


def write_dataset(root: Path, out: Path) -> Manifest:
    """Raw files below `root`, ingested into `out`."""
    write_raw(root)
    return ingest(
        description(),
        root,
        out,
        schemas={name: schema_json(name) for name in SCHEMAS},
        make_codec=make_codec,
    )


def schema_of(stream: str) -> AnySchema:
    """The schema of a stream."""
    return TypeAdapter(AnySchema).validate_python(SCHEMAS[stream])


def schema_json(stream: str) -> dict[str, JsonValue]:
    """The schema with its defaults, as a manifest stores it."""
    return schema_of(stream).model_dump(mode="json")


def make_codec(stream: str, folder: Path) -> Codec:
    """The codec of a stream."""
    return codec_for(schema_of(stream), folder)
