"""Objectives that make their own views of real sensor series: exact resume, any number of workers, other views stay."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from modalities.draws import Draws
from modalities.sensor.codec import SensorSchema
from modalities.sensor.patch_transformer import PatchTransformer
from modalities.sensor.resnet import ResNet
from modalities.sensor.stream import SensorStream
from modalities.spec import Signal
from pipeline.errors import ConfigError
from pipeline.objectives.consistency import Consistency
from pipeline.objectives.forecasting import Forecasting
from pipeline.objectives.intra import IntraSample
from pipeline.objectives.masked import Masked
from pipeline.objectives.spec import ObjectiveConfig, Projection
from pipeline.objectives.transformations import Transformations
from pipeline.train.checkpoint_store import CheckpointStore
from pipeline.train.fit import Fit, FitResult
from pipeline.train.loop import run_fit
from pipeline.train.named_objectives import name_objectives
from pipeline.train.optim import parameter_groups
from pipeline.train.pretraining import Pretraining
from pipeline.types import Batch
from pipeline.worker import GroupWorker, SingleWorker, Worker
from tests.pipeline.train.interrupted import interrupt
from tests.pipeline.train.test_loop import CONFIG as LONGER
from tests.pipeline.train.test_loop import Recorded
from tests.ranks import run_ranks
from tests.toy_streams import InOrder, toy_pretraining

STEPS, SAMPLES = 32, 40
HEAD = Projection(hidden=16, dim=4)
INTRA = IntraSample(projection=HEAD)
HIDING: list[ObjectiveConfig] = [
    Masked(projection=HEAD, share=0.3, stretch=1),
    Forecasting(projection=HEAD, normalize_patches=True, streams=("b",)),
]
TELLING = Transformations(projection=HEAD, transforms=("negation", "reversal", "rotation"))
BESIDE = Consistency(projection=HEAD)
OWN = [*HIDING, TELLING, BESIDE]
CONFIG = LONGER.model_copy(update={"epochs": 1})
ENCODERS = {
    "a": PatchTransformer(patch=4, width=16, depth=1, heads=2, features=12, dropout=0.1),
    "b": ResNet(widths=(8, 8), strides=(2, 2), groups=4, features=12),
}


def pretraining(objectives: Sequence[ObjectiveConfig]) -> Pretraining:
    torch.manual_seed(0)
    schema = SensorSchema(channels=("x", "y", "z"), rate_hz=50.0, max_steps=STEPS)
    statistics = {"mean": [0.0, 0.0, 1.0], "std": [1.0, 1.0, 2.0]}
    streams = {name: SensorStream(encoder=encoder).modality(schema, statistics) for name, encoder in ENCODERS.items()}
    return Pretraining(streams, name_objectives(objectives, list(streams)), seed=0)


def read(idx: np.ndarray) -> Batch:
    """Waves of different lengths with gaps; every third sample lacks `b`, and so does the first half of every batch."""
    rows = torch.from_numpy(np.ascontiguousarray(idx)).long()
    draws = Draws.keyed(rows, seed=1, purpose="wave", epoch=0)
    rate, phase = draws.uniform(1, 1, low=0.2, high=0.6), draws.uniform(3, 1, high=6.0)
    values = (torch.arange(STEPS) * rate + phase).sin() + torch.tensor([0.0, 0.0, 1.0])[:, None]
    lengths = draws.integers(STEPS // 2, STEPS + 1, 1, 1)
    mask = (torch.arange(STEPS) < lengths).expand_as(values).clone()
    mask[:, 1, 5:9] = False
    present = {"a": torch.ones(len(rows), dtype=torch.bool), "b": rows % 3 != 0}
    signals = {
        name: Signal(values * mask * p[:, None, None], mask & p[:, None, None], p) for name, p in present.items()
    }
    return Batch(rows, signals, {name: torch.where(p, rows, -1 - rows) for name, p in present.items()})


def make_fit(folder: Path, worker: Worker | None = None) -> Fit:
    task = pretraining([*OWN, INTRA])
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


def test_two_workers_end_in_the_same_bits(tmp_path: Path, uninterrupted: FitResult) -> None:
    run_ranks(_train_rank, 2, str(tmp_path), world=2)

    assert {(tmp_path / f"hash-{rank}").read_text() for rank in range(2)} == {uninterrupted.state_hash}


def outputs_of(objectives: Sequence[ObjectiveConfig], batch: Batch) -> dict[str, Tensor]:
    task = pretraining(objectives)
    task.module.eval()
    return task.outputs(batch, epoch=0)


def test_other_objectives_keep_their_views() -> None:
    batch, task, alone = read(np.arange(6)), pretraining([INTRA, *OWN]), pretraining([INTRA])
    task.module.load_state_dict(alone.module.state_dict(), strict=False)
    task.module.eval()
    alone.module.eval()
    found, expected = task.outputs(batch, epoch=2), alone.outputs(batch, epoch=2)

    assert {name for name in found if name not in expected} == {
        f"{key}/{of}" for of in ("masked/a", "masked/b", "forecasting/b") for key in ("z", "patches", "asked")
    } | {f"z/{of}/{stream}" for of in ("transformations", "consistency") for stream in ENCODERS}
    assert all(found[name].equal(value) for name, value in expected.items())


def test_alone_it_makes_no_augmented_views() -> None:
    assert [pretraining(OWN).num_views(stream) for stream in ENCODERS] == [0, 0]


def test_gaps_absent_samples_and_what_the_encoder_saw_are_no_targets() -> None:
    batch = read(np.arange(12))
    found = outputs_of(HIDING, batch)
    asked = found["asked/masked/a"].unflatten(2, (3, 4)).transpose(1, 2).flatten(2)  # (B, C, T)
    mask = batch.signals["a"].mask
    assert mask is not None

    assert asked.flatten(1).any(dim=1).all()
    assert not (asked & ~mask).any()
    assert (found["patches/masked/a"][~found["asked/masked/a"]] == 0).all()
    assert not found["asked/masked/b"][::3].any()
    assert found["z/masked/b"][::3].abs().max() == 0


def test_shapes_do_not_hang_on_who_has_the_stream() -> None:
    nobody, somebody = outputs_of(OWN, read(np.arange(0, 12, 3))), outputs_of(OWN, read(np.arange(4)))

    assert {name: value.shape for name, value in nobody.items()} == {n: v.shape for n, v in somebody.items()}


@pytest.mark.parametrize("objective", HIDING, ids=["masked", "forecasting"])
def test_it_learns_more_than_the_mean_of_what_is_hidden(objective: ObjectiveConfig) -> None:
    task, batch = pretraining([objective.model_copy(update={"normalize_patches": False})]), read(np.arange(SAMPLES))
    optimizer = torch.optim.Adam(task.module.parameters(), lr=1e-2)
    shares = []
    for step in range(50):
        outputs = task.outputs(batch, epoch=step)
        loss = task.total(task.loss(outputs, step=step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        squares = [
            value[outputs[name.replace("patches", "asked")]].square().mean()
            for name, value in outputs.items()
            if name.startswith("patches/")
        ]
        shares.append(float(loss.detach() / torch.stack(squares).mean()))

    assert shares[0] > 0.95
    assert sum(shares[-5:]) / 5 < 0.8


def test_it_learns_to_tell_transforms_apart() -> None:
    task, batch = pretraining([TELLING]), read(np.arange(SAMPLES))
    optimizer = torch.optim.Adam([*task.module.parameters(), *task.objectives.parameters()], lr=1e-2)
    losses = []
    for step in range(30):
        loss = task.total(task.loss(task.outputs(batch, epoch=step), step=step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))

    assert losses[0] == pytest.approx(math.log(4), rel=0.1)
    assert sum(losses[-5:]) / 5 < 0.8 * math.log(4)


def test_a_signal_is_compared_with_every_transform_of_itself() -> None:
    batch, task = read(np.arange(8)), pretraining([TELLING])
    task.module.eval()
    found = task.outputs(batch, epoch=0)["z/transformations/a"]
    encoder, head = task.module.encoders["a"], task.module.projectors["transformations"]["a"]  # type: ignore[index]
    signal = batch.signals["a"]
    negated = Signal(-signal.values, signal.mask, signal.present)

    assert found.shape == (8, 4, HEAD.dim)
    torch.testing.assert_close(found[:, 0], head(encoder(signal).pooled))
    torch.testing.assert_close(found[:, 1], head(encoder(negated).pooled))


def test_a_signal_stands_beside_an_augmented_view_of_itself() -> None:
    batch, task = read(np.arange(8)), pretraining([BESIDE])
    task.module.eval()
    found = task.outputs(batch, epoch=3)["z/consistency/a"]
    encoder, head = task.module.encoders["a"], task.module.projectors["consistency"]["a"]  # type: ignore[index]
    draws = Draws.keyed(batch.idx, seed=0, purpose="view/consistency/a", epoch=3, view=1)
    augmented = task.augments["a"](batch.signals["a"], draws)

    assert found.shape == (8, 2, HEAD.dim)
    torch.testing.assert_close(found[:, 0], head(encoder(batch.signals["a"]).pooled))
    torch.testing.assert_close(found[:, 1], head(encoder(augmented).pooled))
    assert not torch.allclose(found[:, 0], found[:, 1], atol=1e-3)


def test_what_stands_beside_augmented_views_is_watched_for_collapse() -> None:
    task, batch = pretraining([BESIDE]), read(np.arange(8))

    assert {name.split("/")[0] for name in task.monitors(task.outputs(batch, epoch=0), step=0)} == {"a", "b"}


def test_targets_are_exact_in_any_precision() -> None:
    batch = read(np.arange(8))
    expected = outputs_of(HIDING, batch)
    with torch.autocast("cpu", torch.bfloat16):
        found = outputs_of(HIDING, batch)

    assert all(found[name].equal(value) for name, value in expected.items() if not name.startswith("z/"))
    assert {value.dtype for name, value in found.items() if name.startswith("z/")} == {torch.float32}


def test_an_encoder_without_patches_is_refused() -> None:
    with pytest.raises(ConfigError, match="patches") as caught:
        toy_pretraining(objectives=[INTRA, Masked()])

    assert caught.value.field == "objectives.1.streams"


def test_a_transform_that_the_stream_has_not_is_refused() -> None:
    with pytest.raises(ConfigError, match="wobble") as caught:
        pretraining([TELLING.model_copy(update={"transforms": ("reversal", "wobble")})])

    assert caught.value.field == "objectives.0.transforms"
    assert "rotation" in caught.value.expected  # type: ignore[operator]
