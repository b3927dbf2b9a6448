"""Weights that try to run code, to take all memory, or to be taken for what they are not."""

import hashlib
import json
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from pipeline.digest import canonical_json
from tests.faults.attack_files import canary

TOUCH = "import pathlib\npathlib.Path('canary').touch()\n"
Header = dict[str, dict[str, object]]
Change = Callable[[bytes], bytes]


def write_pickles(folder: Path) -> None:
    """One file of each kind that loaders elsewhere unpickle."""
    folder.mkdir()
    for suffix in ("pt", "pth", "bin", "ckpt", "pkl"):
        (folder / f"weights.{suffix}").write_bytes(canary())
    with zipfile.ZipFile(folder / "weights.pt2", "w") as archive:
        archive.writestr("weights/data/weights/weight_0.pt", canary())
    with zipfile.ZipFile(folder / "ZIP.PT", "w") as archive:
        archive.writestr("archive/data.pkl", canary())


def write_distributed(folder: Path) -> None:
    """A distributed checkpoint; its table of contents is a pickle."""
    folder.mkdir()
    (folder / ".metadata").write_bytes(canary())
    (folder / "__0_0.distcp").write_bytes(bytes(64))


def write_mlflow_model(folder: Path) -> None:
    """A model directory of MLflow that is imported, whatever the pickle switch says."""
    (folder / "code").mkdir(parents=True)
    (folder / "data").mkdir()
    (folder / "code" / "canary_module.py").write_text(TOUCH)
    (folder / "data" / "pickle_module_info.txt").write_text("canary_module")
    (folder / "data" / "model.pth").write_bytes(canary())
    flavor = "{loader_module: canary_module, code: code, data: data}"
    (folder / "MLmodel").write_text(f"flavors:\n  python_function: {flavor}\n  pytorch: {{code: code}}\n")


def replace_part(checkpoint: Path, name: str, change: Change, *, sign: bool = True) -> None:
    """Change one file of a checkpoint; its manifest is made to agree where `sign` is set."""
    path = checkpoint / f"{name}.safetensors"
    payload = change(path.read_bytes())
    path.write_bytes(payload)
    if sign:
        entry = {"bytes": len(payload), "sha256": hashlib.sha256(payload).hexdigest()}
        sign_manifest(checkpoint, lambda body: {**body, "files": {**body["files"], name: entry}})  # pyright: ignore


def sign_manifest(checkpoint: Path, change: Callable[[dict[str, object]], Mapping[str, object]]) -> None:
    """A changed manifest that matches its own hash: hashes are no signatures."""
    path = checkpoint / "MANIFEST.json"
    body = json.loads(path.read_text())
    del body["sha256"]
    changed = dict(change(body))
    path.write_bytes(canonical_json({**changed, "sha256": hashlib.sha256(canonical_json(changed)).hexdigest()}))


def header(change: Callable[[Header], Header]) -> Change:
    """Another header over the same bytes."""

    def changed(payload: bytes) -> bytes:
        size = int.from_bytes(payload[:8], "little")
        found = {name: entry for name, entry in json.loads(payload[8 : 8 + size]).items() if name != "__metadata__"}
        text = json.dumps(change(found)).encode()
        return struct.pack("<Q", len(text)) + text + payload[8 + size :]

    return changed


def huge_header(payload: bytes) -> bytes:
    """A header of 4 GB, as it says."""
    return struct.pack("<Q", 4 << 30) + payload[8:]


def overlap(tensors: Header) -> Header:
    """Every tensor where the first one is."""
    first = next(iter(tensors.values()))
    return {name: {**entry, "data_offsets": first["data_offsets"]} for name, entry in tensors.items()}


def terabytes(tensors: Header) -> Header:
    """Shapes whose product is beyond any memory."""
    return {name: {**entry, "shape": [1 << 20, 1 << 21]} for name, entry in tensors.items()}


def six_bits(tensors: Header) -> Header:
    """A type that the format knows and torch does not."""
    return {name: {**entry, "dtype": "F6_E3M2"} for name, entry in tensors.items()}
