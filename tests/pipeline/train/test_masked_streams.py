"""Masked modelling of series, images and texts, and of one from another: exact resume, any number of workers."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from modalities.draws import Draws
from modalities.image.codec import ImageSchema
from modalities.image.residual import ImageResNet
from modalities.image.stream import ImageStream
from modalities.sensor.codec import SensorSchema
from modalities.sensor.resnet import ResNet
from modalities.sensor.stream import SensorStream
from modalities.spec import Signal
from modalities.text.codec import TextSchema
from modalities.text.encoder import Bert
from modalities.text.stream import TextStream
from pipeline.errors import ConfigError
from pipeline.objectives.forecasting import Forecasting
from pipeline.objectives.masked import Masked
from pipeline.objectives.spec import ObjectiveConfig, Projection
from pipeline.train.checkpoint_store import CheckpointStore
from pipeline.train.loop import Fit, FitResult, run_fit
from pipeline.train.named_objectives import name_objectives
from pipeline.train.optim import parameter_groups
from pipeline.train.pretraining import Pretraining
from pipeline.types import Batch
from pipeline.worker import GroupWorker, SingleWorker, Worker
from tests.pipeline.train.interrupted import interrupt
from tests.pipeline.train.test_loop import CONFIG as LONGER
from tests.pipeline.train.test_loop import Recorded
from tests.ranks import run_ranks
from tests.toy_streams import InOrder

SAMPLES, STEPS, SIDE, TOKENS, WORDS = 40, 16, 16, 12, 8
HEAD = Projection(hidden=32, dim=8)
OWN = Masked(projection=HEAD, normalize_patches=True)
FROM_IMU = Masked(projection=HEAD, decoded_from="imu")
OBJECTIVES: list[ObjectiveConfig] = [OWN, FROM_IMU, Forecasting(projection=HEAD, streams=("photo", "note"))]
CONFIG = LONGER.model_copy(update={"epochs": 1})
LACK = {"imu": 5, "photo": 3, "note": 4}
"""Every how many-th sample lacks the stream."""


def pretraining(objectives: Sequence[ObjectiveConfig]) -> Pretraining:
    torch.manual_seed(0)
    imu = SensorStream(encoder=ResNet(widths=(8, 8), strides=(2, 2), groups=4, features=12))
    photo = ImageStream(encoder=ImageResNet(widths=(8, 8), groups=4, features=12))
    note = TextStream(encoder=Bert(width=16, depth=1, heads=2, dropout=0.1))
    colours = {"mean": [0.5] * 3, "std": [0.3] * 3}
    streams = {
        "imu": imu.modality(
            SensorSchema(channels=("x", "y"), rate_hz=50.0, max_steps=STEPS), {"mean": [0.0] * 2, "std": [1.0] * 2}
        ),
        "photo": photo.modality(ImageSchema(height=SIDE, width=SIDE), colours),
        "note": note.modality(TextSchema(max_tokens=TOKENS, vocabulary_size=300), {}),
    }
    return Pretraining(streams, name_objectives(objectives, list(streams)), seed=0)


def read(idx: np.ndarray) -> Batch:
    """A number per sample that all streams show: the height of a wave, the slope of a ramp, the words of a text."""
    rows = torch.from_numpy(np.ascontiguousarray(idx)).long()
    draws = Draws.keyed(rows, seed=1, purpose="toy", epoch=0)
    number = draws.integers(0, 3, 1)
    wave = (number - 1.0)[:, :, None] + 0.1 * draws.normal(2, STEPS)
    ramp = torch.linspace(-1, 1, SIDE) * (number - 1)[:, :, None, None] * torch.ones(3, SIDE, 1)
    pixels = (128 + 100 * ramp + draws.normal(3, SIDE, SIDE, std=5.0)).clamp(0, 255).byte()
    words = torch.cat([torch.full((len(rows), 1), 2), 10 + number * WORDS + draws.integers(0, 2, TOKENS - 1)], dim=1)
    length = draws.integers(TOKENS // 2, TOKENS + 1, 1)
    values = {"imu": wave, "photo": pixels, "note": words}
    present = {name: rows % every != 0 for name, every in LACK.items()}
    mask = (torch.arange(TOKENS) < length) & present["note"][:, None]
    signals = {
        name: Signal(
            value * present[name].view(-1, *[1] * (value.ndim - 1)) * (mask if name == "note" else 1),
            mask if name == "note" else None,
            present[name],
        )
        for name, value in values.items()
    }
    return Batch(rows, signals, {name: torch.where(p, rows, -1 - rows) for name, p in present.items()})


def make_fit(folder: Path, worker: Worker | None = None) -> Fit:
    task = pretraining(OBJECTIVES)
    return Fit(
        task=task,
        order=InOrder(SAMPLES, CONFIG.batch_size),
        read=read,
        config=CONFIG,
        worker=worker or SingleWorker(),
        store=CheckpointStore(folder),
        run=Recorded(),  # type: ignore[arg-type]
        identity={},
        seed=0,
        groups=parameter_groups(task.module, CONFIG.optim) + parameter_groups(task.objectives, CONFIG.optim),
    )


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> FitResult:
    torch.set_num_threads(1)
    return run_fit(make_fit(tmp_path_factory.mktemp("reference")))


def test_resume_ends_in_the_same_state(tmp_path: Path, uninterrupted: FitResult) -> None:
    interrupt(make_fit(tmp_path), after=3)

    assert run_fit(make_fit(tmp_path)).state_hash == uninterrupted.state_hash


def _train_rank(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world)
    result = run_fit(make_fit(Path(folder) / "checkpoints", GroupWorker()))
    Path(folder, f"hash-{rank}").write_text(result.state_hash)
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 3])
def test_any_number_of_workers_ends_in_the_same_bits(tmp_path: Path, uninterrupted: FitResult, world: int) -> None:
    run_ranks(_train_rank, world, str(tmp_path), world=world)

    assert {(tmp_path / f"hash-{rank}").read_text() for rank in range(world)} == {uninterrupted.state_hash}


def outputs_of(objectives: Sequence[ObjectiveConfig], idx: np.ndarray, *, epoch: int = 0) -> dict[str, Tensor]:
    task = pretraining(objectives)
    task.module.eval()
    return task.outputs(read(idx), epoch=epoch)


def test_masks_hang_on_sample_and_epoch_alone() -> None:
    whole, part = outputs_of(OBJECTIVES, np.arange(12)), outputs_of(OBJECTIVES, np.array([7, 2, 9]))
    later = outputs_of(OBJECTIVES, np.arange(12), epoch=1)
    masks = [name for name in whole if name.startswith("asked/")]

    assert len(masks) == 7
    assert all(part[name].equal(whole[name][[7, 2, 9]]) for name in masks)
    assert not any(later[name].equal(whole[name]) for name in masks if "forecasting" not in name)


def test_only_samples_with_both_streams_are_asked_across_them() -> None:
    rows = np.arange(30)
    found = outputs_of([FROM_IMU], rows)

    for name in ("photo", "note"):
        both = torch.from_numpy((rows % LACK["imu"] != 0) & (rows % LACK[name] != 0))
        assert found[f"asked/masked/{name}"].flatten(1).any(dim=1).equal(both)
        assert (found[f"patches/masked/{name}"][~found[f"asked/masked/{name}"]] == 0).all()
    assert "z/masked/imu" not in found


def test_across_streams_only_the_one_decoded_from_learns() -> None:
    task = pretraining([FROM_IMU])
    task.total(task.loss(task.outputs(read(np.arange(12)), epoch=0), step=0)).backward()
    encoders = task.module.encoders

    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoders["imu"].parameters())
    assert all(p.grad is None for name in ("photo", "note") for p in encoders[name].parameters())


def test_shapes_do_not_hang_on_who_has_the_streams() -> None:
    nobody, somebody = (outputs_of(OBJECTIVES, rows) for rows in (np.arange(0, 240, 60), np.arange(4)))

    assert {name: value.shape for name, value in nobody.items()} == {n: v.shape for n, v in somebody.items()}
    assert {name: value.dtype for name, value in nobody.items()} == {n: v.dtype for n, v in somebody.items()}


def test_targets_are_exact_in_bfloat16_and_the_loss_nearly_so() -> None:
    rows, task = np.arange(12), pretraining(OBJECTIVES)
    task.module.eval()
    expected = task.outputs(read(rows), epoch=0)
    with torch.autocast("cpu", torch.bfloat16):
        found = task.outputs(read(rows), epoch=0)
        loss = task.total(task.loss(found, step=0))

    assert all(found[name].equal(value) for name, value in expected.items() if not name.startswith("z/"))
    assert {value.dtype for name, value in found.items() if name.startswith("z/")} == {torch.float32}
    torch.testing.assert_close(loss, task.total(task.loss(expected, step=0)), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("config", [OWN.model_copy(update={"normalize_patches": False}), FROM_IMU], ids=["own", "imu"])
def test_it_learns_what_the_streams_show(config: Masked) -> None:
    """Pixels better than by the mean colour; words better than the half dozen they are drawn from, as by the number."""
    task = pretraining([config.model_copy(update={"streams": ("imu", "photo", "note")})])
    optimizer = torch.optim.Adam([*task.module.parameters(), *task.objectives.parameters()], lr=1e-2)
    batch = read(np.arange(SAMPLES))
    terms: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}
    for step in range(60):
        outputs = task.outputs(batch, epoch=step)
        found = task.loss(outputs, step=step)
        optimizer.zero_grad()
        task.total(found).backward()
        optimizer.step()
        terms = {name: value.detach() for name, value in found.terms.items()}
    pixels, asked = (outputs[f"{key}/masked/photo"] for key in ("patches", "asked"))

    assert float(terms["masked/photo"]) < 0.5 * float(pixels[asked].square().mean())
    assert float(terms["masked/note"]) < 0.75 * math.log(6)


def test_a_stream_to_decode_from_must_be_there() -> None:
    with pytest.raises(ConfigError, match="decodes from") as caught:
        pretraining([FROM_IMU.model_copy(update={"decoded_from": "video"})])

    assert (caught.value.field, caught.value.got) == ("objectives.0.decoded_from", "video")
