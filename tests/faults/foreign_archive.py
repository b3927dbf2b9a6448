"""A WebDataset archive as another tool writes it, and its ingest in place."""

import io
import json
import tarfile
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image

from jobs.assemble import open_dataset
from pipeline.data.description import Description
from pipeline.data.ingest import ingest
from pipeline.data.manifest import Manifest
from tests.faults.tiny_dataset import make_codec, schema_json

NUM_SAMPLES = 8
STREAMS = {
    "imu": {"kind": "member", "suffix": "imu.npy"},
    "photo": {"kind": "member", "suffix": "jpg", "optional": True},
    "note": {"kind": "member", "suffix": "txt"},
}
Members: TypeAlias = list[tuple[str, bytes]]
Content: TypeAlias = dict[str, bytes | str | None]


def description(**changes: object) -> Description:
    """Archives below the root; labels and subjects from members; samples are numbered."""
    columns = {"activity": {"suffix": "cls"}, "subject": {"suffix": "json", "at": ["subject"]}}
    document = {
        "records": {"kind": "webdataset", "path": "*.tar", "key": None, "columns": columns},
        "streams": STREAMS,
        "groups": {"subject": "subject"},
        "labels": {"activity": "activity"},
        "split": {"kind": "values", "group": "subject", "test": [3]},
    }
    return Description.model_validate(document | changes)


def npy(array: np.ndarray) -> bytes:
    """An npy file as numpy writes it."""
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=(1, 0), allow_pickle=array.dtype.hasobject)
    return file.getvalue()


def jpeg(pixels: np.ndarray) -> bytes:
    """A JPEG as Pillow writes it."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


def samples(count: int = NUM_SAMPLES) -> Members:
    """Every fourth sample has no photo."""
    rng, found = np.random.default_rng(0), list[tuple[str, bytes]]()
    for number in range(count):
        key = f"rec/2024-01-01T00.0{number}"
        found.append((f"{key}.imu.npy", npy(rng.normal(size=(3, 16)).astype(np.float32))))
        if number % 4 != 1:
            found.append((f"{key}.jpg", jpeg(rng.integers(0, 256, (16, 16, 3)).astype(np.uint8))))
        found.append((f"{key}.txt", f"note {number}".encode()))
        found.append((f"{key}.cls", str(number % 2).encode()))
        found.append((f"{key}.json", json.dumps({"subject": number % 4}).encode()))
    return found


def tar(members: Members, *, style: int = tarfile.USTAR_FORMAT) -> bytes:
    """An archive by tarfile; bytes that are no UTF-8 are surrogates in the names."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=style, errors="surrogateescape") as archive:
        for name, payload in members:
            info = tarfile.TarInfo(name)
            info.size = len(payload)
            archive.addfile(info, io.BytesIO(payload))
    return buffer.getvalue()


def index(root: Path, out: Path, **changes: object) -> Manifest:
    """Ingest the archives below `root` in place."""
    chosen = description(**changes)
    return ingest(
        chosen,
        root,
        out,
        schemas={name: schema_json(name) for name in chosen.streams},
        make_codec=make_codec,
    )


def contents(out: Path) -> list[Content]:
    """What every sample of an ingested folder holds."""
    dataset = open_dataset(out)
    with dataset.reader as reader:
        rows = np.arange(dataset.manifest.num_samples)
        stored = reader.payloads(rows, list(dataset.schemas))
        reader.batch(rows, streams=list(dataset.schemas))
    names, subjects = dataset.manifest.labels["activity"], dataset.index.group("subject").tolist()
    classes = [names[number] if number >= 0 else "" for number in dataset.index.labels("activity").tolist()]
    return [
        {"activity": classes[i], "subject": subjects[i], **{name: stored[name][i] for name in stored}}
        for i in rows.tolist()
    ]
