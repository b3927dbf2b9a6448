"""Early stopping in the one loop, undisturbed and interrupted anywhere."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
import torch

from modalities.spec import Modality
from pipeline.evaluate.best_epoch import BestEpoch
from pipeline.evaluate.finetune import Classification, Supervision
from pipeline.tracking import Spool
from pipeline.train.checkpoint_store import CheckpointStore
from pipeline.train.fit import Fit, FitResult
from pipeline.train.fit_config import FitConfig
from pipeline.train.loop import run_fit
from pipeline.train.optim import parameter_groups
from pipeline.types import Batch
from pipeline.worker import SingleWorker
from tests.toy_streams import InOrder, NoisyView, TinyEncoder, toy_reader

LOSSES = [3.0, 2.0, 2.5, 2.0, 1.0, 0.5]
"""Of the epochs: two without a smaller loss follow the second."""
STEPS = 3
"""Of an epoch."""
CONFIG = FitConfig(epochs=6, batch_size=4, micro_batches=2, checkpoint_every=1)


class Stopped:
    """One training whose validation losses are given, by what is left in `folder`."""

    def __init__(self, folder: Path) -> None:
        torch.manual_seed(0)
        streams = {"a": Modality(codec=None, augment=NoisyView(), encoder=TinyEncoder())}  # type: ignore[arg-type]
        self.task = Classification(streams, Supervision(3), seed=0)
        self.seen: list[dict[str, torch.Tensor]] = []
        self.best = BestEpoch(self.task.module, self.validate, patience=2)
        self.task.kept = self.best
        self.folder = folder

    def validate(self, step: int) -> float:
        self.seen.append({name: tensor.clone() for name, tensor in self.task.module.state_dict().items()})
        return LOSSES[len(self.best.losses)]

    def run(self, *, last_step: int | None = None) -> FitResult:
        reader = toy_reader(12)

        def read(rows: np.ndarray) -> Batch:
            batch = reader(rows)
            return Batch(batch.idx, batch.signals, batch.content, batch.idx % 3)

        def before_step(step: int) -> None:
            if step == last_step:
                raise KeyboardInterrupt

        return run_fit(
            Fit(
                task=self.task,
                order=InOrder(12, CONFIG.batch_size),
                read=read,
                config=CONFIG,
                worker=SingleWorker(),
                store=CheckpointStore(self.folder / "checkpoints"),
                run=Spool(self.folder / "spool.jsonl"),
                identity={},
                seed=0,
                groups=parameter_groups(self.task.module, CONFIG.optim),
                before_step=before_step,
                after_epoch=lambda epoch: self.best.exhausted,
            )
        )


def test_training_ends_after_the_patience_with_the_weights_of_the_best_epoch(tmp_path: Path) -> None:
    training = Stopped(tmp_path)

    result = training.run()
    training.best.load_best()

    assert result.steps == 4 * STEPS
    assert training.best.losses == LOSSES[:4]
    assert training.best.number == 2
    weights = training.task.module.state_dict()
    assert all(weights[name].equal(tensor) for name, tensor in training.seen[1].items())
    assert not weights["head.weight"].equal(training.seen[3]["head.weight"])


@pytest.mark.parametrize("step", [1, 3, 6, 7, 9, 11, None], ids=str)
def test_an_interrupted_training_ends_where_the_undisturbed_one_does(tmp_path: Path, step: int | None) -> None:
    """None: killed between the last checkpoint and whatever follows."""
    expected = Stopped(tmp_path / "undisturbed").run()
    with contextlib.suppress(KeyboardInterrupt):
        Stopped(tmp_path / "interrupted").run(last_step=step)

    resumed = Stopped(tmp_path / "interrupted")

    assert resumed.run().state_hash == expected.state_hash
    assert (resumed.best.number, resumed.best.losses) == (2, LOSSES[:4])
