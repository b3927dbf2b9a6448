"""The bundled data sets are written as sktime has them, and ingest as a user's files do."""

from pathlib import Path

import numpy as np
import pytest

from jobs.bundled import BundledName, write_bundled
from modalities.sensor.codec import SensorCodec, SensorSchema
from pipeline.data.description import Description
from pipeline.data.index import load_index
from pipeline.data.ingest import ingest
from pipeline.data.read import ShardReader

datasets = pytest.importorskip("sktime.datasets", reason="needs the optional extra `bundled`")


@pytest.mark.parametrize(("name", "shape"), [("basicmotions", (80, 6, 100)), ("japanese_vowels", (640, 12, 29))])
def test_sizes_and_classes_are_the_archives(name: BundledName, shape: tuple[int, ...], tmp_path: Path) -> None:
    path = write_bundled(name, tmp_path / "raw")
    written = path.read_bytes()

    with np.load(path, allow_pickle=False) as arrays:
        (series,) = (arrays[key] for key in arrays if arrays[key].ndim == 3)
        (classes,) = (arrays[key] for key in ("activity", "speaker") if key in arrays)
        assert series.shape == shape
        assert len(np.unique(classes)) == {"basicmotions": 4, "japanese_vowels": 9}[name]
        assert (arrays["split"] == "train").sum() == {"basicmotions": 40, "japanese_vowels": 270}[name]
    assert write_bundled(name, tmp_path / "raw").read_bytes() == written


def test_unequal_lengths_survive_ingest(tmp_path: Path) -> None:
    write_bundled("japanese_vowels", tmp_path / "raw")
    channels = [f"c{number}" for number in range(1, 13)]
    table = {"kind": "npz", "path": "japanese_vowels.npz", "key": None}
    description = Description.model_validate(
        {
            "records": {**table, "columns": {name: name for name in ("speaker", "split", "num_steps")}},
            "streams": {
                "speech": {
                    "kind": "npz", "path": "japanese_vowels.npz", "array": "cepstra", "layout": "CT",
                    "length": "num_steps", "channels": channels, "rate_hz": 156.25,
                }
            },
            "labels": {"speaker": "speaker"},
            "split": {"kind": "column", "column": "split", "disjoint": []},
        }
    )  # fmt: skip
    schema = SensorSchema(channels=tuple(channels), rate_hz=156.25, max_steps=29, nonfinite="refuse")
    codec = SensorCodec(schema)

    manifest = ingest(
        description,
        tmp_path / "raw",
        tmp_path / "data",
        schemas={"speech": schema.model_dump(mode="json")},
        make_codec=lambda stream, folder: codec,
    )

    nested, speakers = datasets.load_japanese_vowels(split="test", return_type="nested_univ")
    index = load_index(tmp_path / "data")
    reader = ShardReader(tmp_path / "data", manifest, index, {"speech": codec})
    signal = reader.batch(index.rows("test"), streams=["speech"]).signals["speech"]
    assert signal.mask is not None
    for found, observed, row in zip(signal.values.numpy(), signal.mask.numpy(), nested.to_numpy(), strict=True):
        series = np.stack([np.asarray(channel, np.float32) for channel in row])
        np.testing.assert_array_equal(found[:, : series.shape[1]], series)
        assert observed.sum() == series.size
    names = [manifest.labels["speaker"][number] for number in index.labels("speaker")[index.rows("test")]]
    assert names == [str(speaker) for speaker in speakers]
