"""Twelve labelled toy samples, and the training of a classifier of them."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

from pipeline.evaluate.finetune import Classification
from pipeline.evaluate.layerwise_groups import layerwise_groups
from pipeline.evaluate.target_tuning import TargetTuning
from pipeline.tracking import Spool
from pipeline.train.checkpoint_store import CheckpointStore
from pipeline.train.fit import Fit
from pipeline.train.fit_config import FitConfig
from pipeline.train.optim import parameter_groups
from pipeline.types import Batch
from pipeline.worker import SingleWorker
from tests.toy_streams import STEPS, InOrder, toy_reader

NUM_SAMPLES, NUM_CLASSES = 12, 3
Read = Callable[[np.ndarray], Batch]


def labelled_reader(absent: Mapping[str, int]) -> Read:
    """Batches whose class is the sample's number modulo three; every two steps of stream b are of another phase, the
    last one of nobody knows which. absent: as `toy_reader` has it."""
    reader = toy_reader(NUM_SAMPLES, absent=absent)

    def labelled(indices: np.ndarray) -> Batch:
        batch = reader(indices)
        phase = (batch.idx[:, None] + torch.arange(STEPS) // 2) % NUM_CLASSES
        phase[:, -1] = -1
        return Batch(batch.idx, batch.signals, batch.content, batch.idx % NUM_CLASSES, {"phase": phase})

    return labelled


def fit_of(
    task: Classification | TargetTuning, read: Read, folder: Path, *, epochs: int, num_samples: int = NUM_SAMPLES
) -> Fit:
    """Of the first samples, in one process, with checkpoints in `folder`."""
    config = FitConfig(epochs=epochs, batch_size=6, micro_batches=2)
    groups = layerwise_groups(task.module, learning_rate=0.01, decay=0.5, weight_decay=0.1)
    return Fit(
        task=task,
        order=InOrder(num_samples, config.batch_size),
        read=read,
        config=config,
        worker=SingleWorker(),
        store=CheckpointStore(folder),
        run=Spool(folder / "spool.jsonl"),
        identity={},
        seed=0,
        groups=groups + parameter_groups(task.objectives, config.optim),
    )
