"""Faults inside samples: what is masked, converted, counted or refused, from raw files to batches."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.assemble import open_dataset
from jobs.verify import verify
from modalities.image.codec import ImageCodec, ImageSchema
from modalities.sensor.codec import SensorCodec, SensorSchema
from modalities.spec import SignalError
from pipeline.data.ingest import ingest
from pipeline.data.manifest import Manifest
from pipeline.data.plan import Plan
from pipeline.errors import Problems
from pipeline.worker import owned_micro_batches
from tests.faults.foreign_archive import index, samples, tar
from tests.faults.tiny_dataset import description, make_codec, schema_json, write_raw
from tests.pipeline.data.folder_digest import digest

SCHEMA = SensorSchema(channels=("x", "y"), rate_hz=10, max_steps=64)


def ingested(raw: Path, out: Path, streams: dict[str, object] | None = None) -> Manifest:
    """The tiny data set, with other sources of its streams."""
    document = description().model_dump(mode="json", by_alias=True)
    document["streams"] |= streams or {}
    chosen = type(description()).model_validate(document)
    return ingest(chosen, raw, out, schemas={name: schema_json(name) for name in chosen.streams}, make_codec=make_codec)


@pytest.mark.fault("D12")
def test_permuted_columns_give_the_same_bytes_and_a_lost_one_is_named(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw")
    csv = {"kind": "csv", "path": "{key}.csv", "channels": ["x", "y", "z"], "rate_hz": 10}
    for names in (["x", "y", "z"], ["z", "x", "y"]):
        for path in (tmp_path / "raw").glob("*.npy"):
            series = dict(zip("xyz", np.load(path).tolist(), strict=True))
            rows = zip(*(series[name] for name in names), strict=True)
            text = "\n".join([",".join(names), *(",".join(map(repr, row)) for row in rows)])
            path.with_suffix(".csv").write_text(text)
        ingested(tmp_path / "raw", tmp_path / names[0], {"imu": csv})
    (tmp_path / "raw" / "r03.csv").write_text("x,w,y\n1,2,3\n")

    with pytest.raises(Problems) as caught:
        ingested(tmp_path / "raw", tmp_path / "lost", {"imu": csv})

    assert digest(tmp_path / "x" / "shards") == digest(tmp_path / "z" / "shards")
    (error,) = caught.value.problems
    assert (error.code, error.key, error.exit_code) == ("DATA_CHANNELS", "r03", 65)
    assert "missing: ['z'], unexpected: ['w']" in error.message


@pytest.mark.fault("D13")
def test_gaps_are_masked_and_infinity_is_refused_at_its_index() -> None:
    series = np.random.default_rng(0).normal(size=(2, 20)).astype(np.float32)
    series[1, 5:9] = np.nan
    signal = SensorCodec(SCHEMA).decode([SensorCodec(SCHEMA).encode(series)])
    series[1, 7] = np.inf
    with pytest.raises(SignalError) as caught:
        SensorCodec(SCHEMA).encode(series)

    assert signal.mask is not None
    assert np.flatnonzero(~signal.mask[0, 1, :20].numpy()).tolist() == [5, 6, 7, 8]
    assert signal.values.isfinite().all()
    assert caught.value.got == {"channel": "y", "step": 7, "value": "inf"}


@pytest.mark.fault("D14")
def test_a_flat_channel_is_counted_and_normalises_to_finite_numbers(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw")
    for path in (tmp_path / "raw").glob("*.npy"):
        series = np.load(path)
        series[2] = 9.81
        np.save(path, series)
    manifest = ingested(tmp_path / "raw", tmp_path / "data")
    statistics = manifest.streams["imu"].statistics

    result = verify(str(tmp_path / "data"), workers=1)

    assert result["flat"] == {"imu": 1, "photo": 0}
    assert min(statistics["std"]) > 0
    normalised = (np.float32(9.81) - statistics["mean"][2]) / statistics["std"][2]
    assert abs(normalised) < 1


@pytest.mark.fault("D15")
def test_readings_of_an_absurd_size_are_named_with_the_limit(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw")
    np.save(tmp_path / "raw" / "r07.npy", np.load(tmp_path / "raw" / "r07.npy") * 1e30)

    with pytest.raises(Problems) as caught:
        ingested(tmp_path / "raw", tmp_path / "data")

    (error,) = caught.value.problems
    assert (error.code, error.key, error.field, error.exit_code) == ("DATA_RANGE", "r07", "imu", 65)
    assert error.expected == "<= 1e+12"
    assert error.got["channel"] == "x"  # type: ignore[index]


@pytest.mark.fault("D16")
@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0, 1, 2, 63, 64, 65, 10_000]), min_size=1, max_size=6))
def test_any_lengths_give_one_shape_and_a_mask_or_a_refusal(lengths: list[int]) -> None:
    codec = SensorCodec(SCHEMA)
    payloads = []
    for steps in lengths:
        if 1 <= steps <= 64:
            payloads.append(codec.encode(np.ones((2, steps), np.float32)))
            continue
        with pytest.raises(SignalError) as caught:
            codec.encode(np.ones((2, steps), np.float32))
        assert caught.value.code == ("DATA_SHAPE" if steps else "DATA_EMPTY_SERIES")
    signal = codec.decode([*payloads, None])

    assert signal.mask is not None
    assert signal.values.shape == (len(payloads) + 1, 2, 64)
    assert signal.mask.sum(dim=(1, 2)).tolist() == [2 * steps for steps in lengths if 1 <= steps <= 64] + [0]


@pytest.mark.fault("D27")
def test_a_png_with_the_name_of_a_jpeg_is_what_its_bytes_say(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    png = ImageCodec(ImageSchema(height=16, width=16)).encode(pixels)
    first = samples()[1][0]
    members = [(name, png if name == first else payload) for name, payload in samples()]
    (tmp_path / "a.tar").write_bytes(tar(members))
    index(tmp_path, tmp_path / "data")
    with open_dataset(tmp_path / "data").reader as reader:
        found = reader.batch(np.array([0]), streams=["photo"]).signals["photo"].values[0]

    assert first.endswith(".jpg")
    np.testing.assert_array_equal(found.permute(1, 2, 0).numpy(), pixels)


@pytest.mark.fault("D31")
@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_uneven_shards_give_equal_steps_and_each_sample_once(tmp_path: Path, world: int) -> None:
    for name, count in (("a", 20), ("b", 1), ("c", 11)):
        (tmp_path / f"{name}.tar").write_bytes(tar(samples(count)))
    manifest = index(tmp_path, tmp_path / "data", split={"kind": "train_only"})
    plan = Plan(np.arange(manifest.num_samples), batch_size=8, seed=0)
    shares = [[] for _ in range(world)]
    for step in range(plan.steps_per_epoch):
        micro_batches = np.split(plan.batch(0, step), 4)
        for rank, share in enumerate(shares):
            share.append(np.concatenate([micro_batches[m] for m in owned_micro_batches(4, rank, world)]))

    assert [entry.count for entry in manifest.shards] == [20, 1, 11]
    assert {len(share) for share in shares} == {4}
    assert sorted(np.concatenate([part for share in shares for part in share]).tolist()) == list(range(32))


@pytest.mark.fault("D35")
def test_the_zone_of_the_machine_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_raw(tmp_path / "raw")
    stamps = 1_793_016_000_000 + 100 * np.arange(16)
    for path in (tmp_path / "raw").glob("*.npy"):
        rows = zip(stamps.tolist(), *np.load(path).tolist(), strict=True)
        path.with_suffix(".csv").write_text("\n".join(["t,x,y,z", *(",".join(map(repr, row)) for row in rows)]))
    time_column = {"column": "t", "unit": "ms", "clock": "utc"}
    csv = {"kind": "csv", "path": "{key}.csv", "channels": ["x", "y", "z"], "rate_hz": 10, "time": time_column}
    found = set()
    try:
        for zone in ("UTC", "America/New_York", "Asia/Kathmandu"):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            found.add(ingested(tmp_path / "raw", tmp_path / zone.replace("/", "-"), {"imu": csv}).sha256)
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()

    assert "TZ" not in os.environ
    assert len(found) == 1
    index = open_dataset(tmp_path / "UTC").index
    assert set(index.start_ns.tolist()) == {1_793_016_000 * 10**9}
    seconds = csv | {"time": time_column | {"unit": "s"}}
    with pytest.raises(Problems) as caught:
        ingested(tmp_path / "raw", tmp_path / "wrong", {"imu": seconds})
    assert {error.code for error in caught.value.problems} == {"DATA_TIME"}
