"""The manifest: its hash covers everything, and hostile or damaged ones are refused."""

import json
from pathlib import Path

import pytest

from pipeline.data.manifest import MANIFEST_NAME, Manifest, load_manifest
from pipeline.errors import DataError

DOCUMENT = {
    "format_version": 1,
    "name": "toy",
    "streams": {
        "imu": {"kind": "toy", "schema": {"kind": "toy"}, "statistics": {"mean": [0.5]}, "files": {}, "count": 2}
    },
    "shards": [{"name": "shard-00000.tar", "bytes": 10240, "count": 2, "sha256": "0" * 64}],
    "index_sha256": "1" * 64,
    "num_samples": 2,
    "num_records": 2,
    "num_dropped_windows": 0,
    "groups": ["subject"],
    "labels": {"activity": ["run", "walk"]},
    "split": {"rule": {"kind": "train_only"}, "counts": {"train": 2, "validation": 0, "test": 0}},
    "quarantine": [],
}


def write(folder: Path, document: object) -> Path:
    (folder / MANIFEST_NAME).write_text(json.dumps(document))
    return folder


def test_it_survives_its_own_text(tmp_path: Path) -> None:
    manifest = Manifest.model_validate(DOCUMENT)
    (tmp_path / MANIFEST_NAME).write_text(manifest.to_text())

    assert load_manifest(tmp_path) == manifest
    assert load_manifest(tmp_path).sha256 == manifest.sha256


def _leaves(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else []
    return [leaf for key, child in items for leaf in _leaves(child, (*path, key))] or [path]


CHANGES = {"count": 3, "bytes": 10752, "sha256": "a" * 64, "index_sha256": "b" * 64, "name": "shard-00001.tar"}


@pytest.mark.parametrize(
    "path", [p for p in _leaves(DOCUMENT) if p[-1] not in {"format_version", "files", "quarantine"}]
)
def test_a_change_of_any_value_changes_the_hash(path: tuple[str | int, ...]) -> None:
    document = json.loads(json.dumps(DOCUMENT))
    node = document
    for part in path[:-1]:
        node = node[part]
    old = node[path[-1]]
    node[path[-1]] = CHANGES.get(str(path[-1]), old + 1 if isinstance(old, int | float) else "train_some")

    assert Manifest.model_validate(document).sha256 != Manifest.model_validate(DOCUMENT).sha256


@pytest.mark.fault("S03", "S05")
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format_version", 2),
        ("shards", [{**DOCUMENT["shards"][0], "name": "../../etc/passwd"}]),
        ("shards", [{**DOCUMENT["shards"][0], "name": "pipe:touch x"}]),
        ("shards", []),
        ("streams", {"imu": {**DOCUMENT["streams"]["imu"], "files": {"../x": "0" * 64}}}),
        ("streams", {"imu": {**DOCUMENT["streams"]["imu"], "files": {"/x": "0" * 64}}}),
        ("streams", {"../imu": DOCUMENT["streams"]["imu"]}),
        ("surprise", 1),
    ],
)
def test_hostile_or_foreign_manifests_are_refused(tmp_path: Path, key: str, value: object) -> None:
    with pytest.raises(DataError) as caught:
        load_manifest(write(tmp_path, {**DOCUMENT, key: value}))

    assert caught.value.code == "DATA_MANIFEST"
    assert key in str(caught.value.field)


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, '{"name": "\\ud800"}'])
def test_damaged_manifests_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST_NAME).write_text(text)

    with pytest.raises(DataError) as caught:
        load_manifest(tmp_path)

    assert caught.value.code == "DATA_MANIFEST"


def test_a_folder_without_manifest_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="run ingest"):
        load_manifest(tmp_path)


def test_a_changed_value_is_refused_though_it_fits(tmp_path: Path) -> None:
    text = Manifest.model_validate(DOCUMENT).to_text()
    for changed in (text.replace('"num_records": 2', '"num_records": 3'), text.replace('"sha256"', '"sha257"', 1)):
        (tmp_path / MANIFEST_NAME).write_text(changed)

        with pytest.raises(DataError) as caught:
            load_manifest(tmp_path)

        assert MANIFEST_NAME in str(caught.value)
    (tmp_path / MANIFEST_NAME).write_text(text.replace('"num_records": 2', '"num_records": 3'))
    with pytest.raises(DataError) as caught:
        load_manifest(tmp_path)
    assert (caught.value.code, caught.value.field) == ("DATA_CHECKSUM", MANIFEST_NAME)
