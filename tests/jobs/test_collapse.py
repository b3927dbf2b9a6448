"""Injected collapses are named within two monitors, by stream; healthy trainings are never warned of."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from jobs._collapse import Collapses
from modalities.spec import Encoded, Modality, Signal
from pipeline.objectives.cross import CrossModal
from pipeline.objectives.intra import IntraSample
from pipeline.objectives.spec import Projection
from pipeline.train.checkpoint_store import CheckpointStore
from pipeline.train.fit import Fit
from pipeline.train.fit_config import FitConfig
from pipeline.train.loop import run_fit
from pipeline.train.named_objectives import name_objectives
from pipeline.train.optim import parameter_groups
from pipeline.train.pretraining import Pretraining
from pipeline.types import Batch
from pipeline.worker import SingleWorker
from tests.pipeline.train.test_loop import Recorded
from tests.toy_streams import CHANNELS, STEPS, InOrder, NoisyView

SAMPLES, DIM, WIDTH = 256, 64, 64
CONFIG = FitConfig(epochs=4, batch_size=64, micro_batches=1, checkpoint_every=100, monitor_every=4, log_every=4)
Inject = Callable[[Pretraining], None]


class _Encoder(nn.Module):
    """All readings of a sample in one vector, which a hidden layer spreads over many directions."""

    width = WIDTH

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(CHANNELS * STEPS, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH))

    def forward(self, signal: Signal) -> Encoded:
        pooled = self.body(signal.values.flatten(1))
        return Encoded(pooled, pooled[:, None], torch.ones(len(pooled), 1, dtype=torch.bool))

    def blocks(self) -> Sequence[nn.Module]:
        return [self.body]


def _task(seed: int) -> Pretraining:
    torch.manual_seed(seed)
    streams = {name: Modality(codec=None, augment=NoisyView(), encoder=_Encoder()) for name in ("a", "b")}  # type: ignore[arg-type]
    head = Projection(hidden=WIDTH, dim=DIM)
    named = name_objectives([IntraSample(projection=head), CrossModal(projection=head)], list(streams))
    return Pretraining(streams, named, seed=seed)


def _read(indices: np.ndarray) -> Batch:
    """Two streams that share twelve factors."""
    idx = torch.from_numpy(np.asarray(indices, dtype=np.int64))
    latent = torch.randn(2, SAMPLES, CHANNELS, STEPS, generator=torch.Generator().manual_seed(5))
    present = torch.ones(len(idx), dtype=torch.bool)
    signals = {"a": Signal(latent[0, idx], None, present)}
    signals["b"] = Signal(latent[0, idx].flip(1) + 0.3 * latent[1, idx], None, present)
    return Batch(idx, signals, {"a": idx, "b": idx})


def _warnings(folder: Path, seed: int, inject: Inject | None = None) -> list[tuple[int, set[str]]]:
    """Step at which each stream was warned of."""
    task, collapses, found = _task(seed), Collapses(), []
    if inject is not None:
        inject(task)

    def watch(step: int, total: int, metrics: dict[str, float]) -> None:
        before = set(collapses.named)
        collapses(metrics)
        if collapses.named - before:
            found.append((step, collapses.named - before))

    run_fit(
        Fit(
            task=task,
            order=InOrder(SAMPLES, CONFIG.batch_size),
            read=_read,
            config=CONFIG,
            worker=SingleWorker(),
            store=CheckpointStore(folder),
            run=Recorded(),  # type: ignore[arg-type]
            identity={},
            seed=seed,
            groups=parameter_groups(task.module, CONFIG.optim),
            on_step=watch,
        )
    )
    return found


def _pooled(task: Pretraining, stream: str, value: float) -> None:
    def constant(module: nn.Module, given: object, encoded: Encoded) -> Encoded:
        return replace(encoded, pooled=encoded.pooled * 0 + value)

    task.module.encoders[stream].register_forward_hook(constant)


def _complete(task: Pretraining) -> None:
    for stream in ("a", "b"):
        _pooled(task, stream, 1.0)


def _ignored(task: Pretraining) -> None:
    _pooled(task, "b", 0.0)


def _dimensional(task: Pretraining) -> None:
    basis = torch.linalg.qr(torch.randn(DIM, 4, generator=torch.Generator().manual_seed(0)))[0]

    def project(module: nn.Module, given: object, rows: Tensor) -> Tensor:
        return rows @ basis @ basis.T

    for objective in task.module.projectors.values():
        for head in objective.values():  # type: ignore[union-attr, operator]
            head.register_forward_hook(project)


@pytest.mark.fault("N04")
@pytest.mark.parametrize(
    ("inject", "streams", "monitor"),
    [(_complete, {"a", "b"}, "mean_cosine"), (_dimensional, {"a", "b"}, "rank_share"), (_ignored, {"b"}, "std")],
    ids=["complete", "dimensional", "one modality ignored"],
)
def test_an_injected_collapse_is_named_within_two_monitors(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, inject: Inject, streams: set[str], monitor: str
) -> None:
    assert _warnings(tmp_path, 0, inject) == [(2 * CONFIG.monitor_every, streams)]
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == len(streams), "once for each stream"
    for stream, text in zip(sorted(streams), said, strict=True):
        assert f"Embeddings of {stream} may be collapsing: " in text
        assert f"{monitor} " in text


@pytest.mark.fault("N04")
def test_twenty_healthy_trainings_raise_no_alarm(tmp_path: Path) -> None:
    assert [found for seed in range(20) if (found := _warnings(tmp_path / str(seed), seed))] == []


def test_one_monitor_past_the_level_is_no_collapse_yet(caplog: pytest.LogCaptureFixture) -> None:
    bad, good, other = {"health/a/std": 0.1}, {"health/a/std": 0.9}, {"loss/total": 1.0}
    collapses = Collapses()

    for metrics in (bad, good, bad, other, good, bad):
        collapses(metrics)
    assert caplog.records == []

    for _ in range(3):
        collapses(bad)
    assert [record.getMessage() for record in caplog.records] == [
        "Embeddings of a may be collapsing: std 0.10, alarm level 0.3."
    ]
