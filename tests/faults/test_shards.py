"""Damaged and changed shards of our own: every cut, every bit, every block, before and during a run."""

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from jobs.__main__ import main
from jobs.assemble import Dataset, batch_reader, build_modalities, build_pretraining, open_dataset
from jobs.configs import Recipe
from pipeline.data.plan import Plan
from pipeline.data.shard_source import LocalShards
from pipeline.data.verify import verify_dataset
from pipeline.errors import DataError, Problems
from pipeline.train.checkpoint_store import CheckpointStore
from pipeline.train.fit import Fit
from pipeline.train.fit_config import FitConfig
from pipeline.train.loop import run_fit
from pipeline.train.optim import parameter_groups
from pipeline.worker import SingleWorker
from tests.faults import mutators
from tests.faults.tiny_dataset import write_dataset


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three streams, several shards; do not change it."""
    folder = tmp_path_factory.mktemp("shards")
    write_dataset(folder / "raw", folder / "data")
    return folder / "data"


@pytest.fixture
def copied(whole: Path, tmp_path: Path) -> Iterator[Dataset]:
    """A copy to damage."""
    dataset = open_dataset(shutil.copytree(whole, tmp_path / "data"))
    with dataset.reader:
        yield dataset


def shard_of(dataset: Dataset, number: int = 0) -> Path:
    return dataset.folder / "shards" / dataset.manifest.shards[number].name


@pytest.mark.fault("D01", "D02", "D03", "D17")
def test_every_cut_at_a_block_is_refused_at_opening(copied: Dataset) -> None:
    entry, path = copied.manifest.shards[0], shard_of(copied)
    content = path.read_bytes()
    for size in [0, *range(512, len(content), 512), len(content) - 1024, len(content) - 1]:
        path.write_bytes(content[:size])
        with pytest.raises(DataError) as caught:
            LocalShards(copied.folder).open(entry)
        error = caught.value
        assert (error.code, error.shard, error.expected, error.got) == ("DATA_TRUNCATED", entry.name, entry.bytes, size)


@pytest.mark.fault("D01")
def test_verify_of_a_cut_shard_exits_with_65(copied: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    path = shard_of(copied)
    path.write_bytes(path.read_bytes()[:-5000])

    assert main(["verify", str(copied.folder), "--hashes-only", "--workers", "1"]) == 65
    message = capsys.readouterr().err
    assert all(part in message for part in ("DATA_TRUNCATED", path.name, "expected=", "got=", "Fix: "))


@pytest.mark.fault("D04")
def test_each_of_2000_flipped_payload_bits_is_named(copied: Dataset) -> None:
    rng, index = np.random.default_rng(0), copied.index
    contents = {n: bytearray(shard_of(copied, n).read_bytes()) for n in range(len(copied.manifest.shards))}
    for _ in range(2000):
        name = list(copied.schemas)[rng.integers(3)]
        i = int(rng.choice(np.flatnonzero(index.present(name))))
        shard, columns = int(index.shard[i]), index.stream(name)
        position, bit = int(columns.offset[i] + rng.integers(columns.size[i])), 1 << int(rng.integers(8))
        with shard_of(copied, shard).open("r+b", buffering=0) as file:
            file.seek(position)
            file.write(bytes([contents[shard][position] ^ bit]))
            with pytest.raises(DataError) as caught:
                copied.reader.payloads(np.array([i]), [name])
            file.seek(position)
            file.write(contents[shard][position : position + 1])
        error, entry = caught.value, copied.manifest.shards[shard]
        assert (error.code, error.shard, error.key, error.field) == ("DATA_CHECKSUM", entry.name, index.key[i], name)


@pytest.mark.fault("D05", "D09", "D30")
def test_none_of_2000_damaged_archives_passes_verification(copied: Dataset) -> None:
    rng, path = np.random.default_rng(1), shard_of(copied)
    content = path.read_bytes()
    for number in range(2000):
        damaged = mutators.TAR[number % len(mutators.TAR)](content, rng)
        if damaged == content:
            continue
        path.write_bytes(damaged)
        with pytest.raises(Problems) as caught:
            verify_dataset(copied.folder, copied.manifest)
        assert {problem.shard for problem in caught.value.problems} == {path.name}
        assert all(problem.code and problem.exit_code in {65, 77} for problem in caught.value.problems)


@pytest.mark.fault("D08")
def test_a_missing_optional_stream_is_a_mask_and_counted(whole: Path) -> None:
    dataset = open_dataset(whole)
    with dataset.reader as reader:
        batch = reader.batch(np.arange(dataset.manifest.num_samples), streams=list(dataset.schemas))
    missing = np.array([int(key[1:]) % 5 == 0 for key in dataset.index.key])

    assert batch.signals["photo"].present.numpy().tolist() == (~missing).tolist()
    assert dataset.manifest.streams["photo"].count == (~missing).sum()
    assert batch.signals["photo"].values[missing].abs().sum() == 0


def _fit(folder: Path, dataset: Dataset) -> Fit:
    streams = {"imu": {"kind": "sensor", "augment": [], "encoder": RESNET}}
    recipe = TypeAdapter(Recipe).validate_python(
        {"name": "x", "data": {"path": "x"}, "streams": streams, "objectives": [{"kind": "intra"}]}
    )
    task = build_pretraining(recipe, build_modalities(recipe, dataset, seed=0))
    config = FitConfig(epochs=6, batch_size=8, micro_batches=4, checkpoint_every=2, log_every=1)
    return Fit(
        task=task,
        order=Plan(np.arange(dataset.manifest.num_samples), batch_size=8, seed=0),
        read=batch_reader(dataset, ["imu"]),
        config=config,
        worker=SingleWorker(),
        store=CheckpointStore(folder),
        run=Silent(),  # type: ignore[arg-type]
        identity={},
        seed=0,
        groups=parameter_groups(task.module, config.optim),
    )


RESNET = {"kind": "resnet", "widths": [8], "strides": [2], "features": 12}


class Silent:
    def metrics(self, values: dict[str, float], step: int) -> None:
        """Nowhere."""


@pytest.fixture(scope="module")
def undisturbed(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """State hash of the run without damage."""
    torch.set_num_threads(1)
    dataset = open_dataset(whole)
    with dataset.reader:
        return run_fit(_fit(tmp_path_factory.mktemp("undisturbed"), dataset)).state_hash


@pytest.mark.fault("D32")
@pytest.mark.parametrize("damage", ["deleted", "other bytes", "other size"])
def test_a_shard_lost_during_the_run_stops_it_and_the_resumed_run_is_exact(
    copied: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: str, damage: str
) -> None:
    monkeypatch.setattr(LocalShards, "max_open", 1)
    path = shard_of(copied, 1)
    content = path.read_bytes()

    def lose(step: int, total: int, metrics: dict[str, float]) -> None:
        if step == 4:  # a few more batches were read ahead
            path.unlink()
            if damage != "deleted":
                path.write_bytes(bytes(len(content) + (damage == "other size")))

    with pytest.raises(DataError) as caught:
        run_fit(dataclasses.replace(_fit(tmp_path / "run", copied), on_step=lose))
    assert caught.value.code == ("DATA_CHECKSUM" if damage == "other bytes" else "DATA_CHANGED")
    assert (caught.value.shard, caught.value.exit_code) == (path.name, 65)

    path.write_bytes(content)
    assert run_fit(_fit(tmp_path / "run", copied)).state_hash == undisturbed
