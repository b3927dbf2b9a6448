"""Encoders on another data set with other channels: matched by name, reported, refused where nothing fits."""

import shutil
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch

from jobs.assemble import open_dataset, source_of
from jobs.embedder import Embedder, EmbedPlan
from jobs.finetune import finetune
from jobs.frozen import encode, encoders_of
from jobs.pretrained import pretrained_encoders
from jobs.probe import probe
from jobs.stages import Context
from jobs.transfer import transfer
from modalities.spec import Signal
from pipeline.config import to_json
from pipeline.errors import CheckpointError, Problems
from pipeline.evaluate.features import read_features
from pipeline.model import pooled_features
from tests.jobs.tiny_run import context_of, finish

FEW = ["gyr_y", "acc_x", "acc_z"]
ENCODER = "{kind: sensor, encoder: {kind: resnet, widths: [8, 16], strides: [2, 2], features: 24, groups: 4}}"
ALONE = ["streams={imu: " + ENCODER + "}", "objectives=[{kind: intra}]", "relations={}", "memory={}", "subsets=null"]


def ingested(folder: Path, *overrides: str, channels: list[str] = FEW) -> Context:
    """The folder's raw files as another data set, beside the pretraining in it."""
    named = "[" + ", ".join(channels) + "]"
    imu = [f"data.ingest.streams.imu.select={named}", f"data.ingest.schemas.imu.channels={named}"]
    context = context_of(folder.parent / "other", *imu, *overrides)
    finish(context, "ingest")
    return context


def moved(folder: Path, other: Context, *overrides: str) -> Context:
    path = other.folder.path
    return context_of(path, f"pretrained={folder}", f"data.path={path}/data", *ALONE, *overrides)


def test_few_channels_in_another_order_are_absent_channels_of_the_same_series(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = moved(folder, ingested(folder))
    found = probe(other)
    other.folder.finish("probe", found)

    own = context_of(folder, *ALONE)
    dataset = open_dataset(source_of(own.recipe))
    encoders = encoders_of(own.recipe, dataset, pretrained_encoders(own.recipe, own.folder))
    batch = dataset.reader.batch(np.arange(dataset.manifest.num_samples), streams=["imu"])
    imu = batch.signals["imu"]
    assert imu.mask is not None
    mask = imu.mask.clone()
    mask[:, [1, 3, 5]] = False
    expected = pooled_features(encoders, {"imu": Signal(imu.values, mask, imu.present)})["imu"]
    made = cast(dict[str, str], found["tables"])
    table = read_features(other.folder.path / "probe" / "features.parquet", encoder_hash=made["probe"])

    np.testing.assert_allclose(table.values["imu"], expected.numpy(), atol=1e-5)
    assert found["channels"] == {"imu": {"absent": ["acc_y", "gyr_x", "gyr_z"], "left_out": []}}
    assert "absent acc_y, gyr_x, gyr_z" in capsys.readouterr().err


def test_the_pretraining_needs_its_data_set_no_longer(folder: Path) -> None:
    other = ingested(folder)
    shutil.rmtree(folder / "data")
    context = moved(folder, other, "finetune.percents=[100]", "finetune.epochs=1")

    found = finetune(context)

    assert cast(dict[str, float], found["metrics"]).keys() > {"finetune/100/accuracy"}
    assert found["channels"] == {"imu": {"absent": ["acc_y", "gyr_x", "gyr_z"], "left_out": []}}


def test_streams_of_other_names_start_from_the_encoder_that_is_named(folder: Path) -> None:
    other = ingested(
        folder,
        "data.ingest.streams={wrist: {kind: csv, path: '{imu}', channels: [acc_x, acc_y, acc_z, gyr_x, gyr_y, gyr_z], "
        "rate_hz: 25, select: [acc_z, acc_x], time: {column: time_ns, unit: ns}, optional: true}, "
        "note: {kind: column, column: note, optional: true}}",
        "data.ingest.schemas={wrist: {kind: sensor, channels: [acc_z, acc_x], rate_hz: 25, max_steps: 120}, "
        "note: {kind: text, max_tokens: 32, vocabulary_size: 280}}",
        "streams={wrist: {kind: sensor}}",
        "objectives=[{kind: intra}]",
        "relations={}",
        "memory={}",
        "subsets=null",
    )
    streams = (
        "streams={wrist: " + ENCODER + ", note: {kind: text, encoder: {kind: bert, width: 16, depth: 1, heads: 2}}}"
    )
    context = moved(folder, other, streams, "pretrained_streams={wrist: imu}")

    found = transfer(context.recipe, context.folder, open_dataset(source_of(context.recipe)))
    encoders = encoders_of(context.recipe, found.dataset, pretrained_encoders(context.recipe, context.folder))
    first = np.arange(8)
    features = encode(encoders, found.dataset, first)

    assert found.channels == {"wrist": {"absent": ["acc_y", "gyr_x", "gyr_y", "gyr_z"], "left_out": []}}
    own = context_of(folder)
    trained = open_dataset(source_of(own.recipe))
    rows = np.flatnonzero(np.isin(trained.index.key, found.dataset.index.key[first]))
    notes = trained.reader.batch(rows, streams=["note"]).signals["note"]
    assert trained.index.key[rows].tolist() == found.dataset.index.key[first].tolist()
    assert found.dataset.reader.batch(first, streams=["note"]).signals["note"].values.equal(notes.values)
    assert features.values["wrist"].shape == (8, 24)
    with pytest.raises(CheckpointError, match="has no stream wrist"):
        transfer(moved(folder, other, streams).recipe, context.folder, found.dataset)


def test_what_fits_no_encoder_is_refused_with_both_lists(folder: Path) -> None:
    other = ingested(folder, "data.ingest.schemas.imu.units=[deg/s, g, g]")
    with pytest.raises(CheckpointError) as refused:
        probe(moved(folder, other))
    assert (refused.value.code, refused.value.field) == ("CKPT_INCOMPATIBLE", "streams.imu")

    record = folder / "pretrain" / "streams.json"
    record.write_text(record.read_text().replace('"acc_', '"a').replace('"gyr_', '"g'))
    with pytest.raises(CheckpointError) as disjoint:
        probe(moved(folder, other))
    assert disjoint.value.expected == ["ax", "ay", "az", "gx", "gy", "gz"]
    assert disjoint.value.got == FEW


def test_subjects_of_another_data_set_may_be_other_people(folder: Path) -> None:
    other = ingested(folder, "data.ingest.split.seed=3")

    with pytest.raises(Problems, match="pretrained_subjects=other"):
        probe(moved(folder, other))
    assert probe(moved(folder, other, "pretrained_subjects=other"))["metrics"]


def test_an_embedded_data_set_is_read_as_the_encoder_takes_it(folder: Path, tmp_path: Path) -> None:
    own = context_of(folder, *ALONE).recipe.absolute()
    other = moved(folder, ingested(folder)).recipe.absolute()
    plan = EmbedPlan(to_json(own), {**to_json(own), "data": to_json(other.data)}, str(tmp_path / "embedded"), 30)

    embedder = Embedder(plan)

    assert embedder.transfer.channels["imu"]["absent"] == ["acc_y", "gyr_x", "gyr_z"]
    signal = embedder.dataset.reader.batch(np.arange(2), streams=["imu"]).signals["imu"]
    assert signal.values.shape[1] == 6
    assert torch.equal(signal.values[:, [1, 3, 5]], torch.zeros(2, 3, signal.values.shape[2]))
