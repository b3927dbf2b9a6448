"""Step features of frozen encoders and of the raw steps, which the probe stage stores for its sequence probes."""

import torch
from torch import Tensor

from jobs._run_folder import RunFolder
from jobs.assemble import Dataset
from jobs.configs import Recipe
from jobs.frozen import FrozenEncoders, encoder_hash
from jobs.sequence import StepTables, sequence_tasks
from jobs.step_labels import time_patching
from jobs.stored_tables import step_table_path
from pipeline.evaluate.sequence_task import SequenceTask
from pipeline.evaluate.step_features import Read, StepFeatures, step_features, training_samples
from pipeline.evaluate.step_table import StepTable, write_steps
from pipeline.model import encode_present, scatter_rows
from pipeline.types import Batch


def write_step_tables(
    recipe: Recipe, folder: RunFolder, *, trained: FrozenEncoders, untrained: FrozenEncoders
) -> StepTables:
    """Of every target and source, written anew; none where the recipe has no targets."""
    return {
        task.name: _tables(recipe, folder, task, trained=trained, untrained=untrained)
        for task in sequence_tasks(recipe, untrained.dataset)
    }


def _tables(
    recipe: Recipe, folder: RunFolder, task: SequenceTask, *, trained: FrozenEncoders, untrained: FrozenEncoders
) -> dict[str, StepTable]:
    config, dataset = recipe.sequence, untrained.dataset
    assert config is not None  # noqa: S101 - there is a task
    stream = dataset.manifest.step_labels[task.name].stream
    sources = {
        "probe": (_learned(trained, task.name, stream), encoder_hash(trained.encoders)),
        "random_init": (_learned(untrained, task.name, stream), encoder_hash(untrained.encoders)),
        "raw": (_raw(untrained, task.name, stream), "raw"),
    }
    raw, _ = sources["raw"]
    train = training_samples(raw.read, task, stride=raw.stride, config=config, seed=recipe.seed)
    return {
        source: write_steps(
            step_features(features, task, train),
            step_table_path(folder, task.name, source),
            encoder_hash=f"{made_by}:{dataset.manifest.sha256}:{task.name}",
            stride=features.stride,
        )
        for source, (features, made_by) in sources.items()
    }


def _learned(frozen: FrozenEncoders, target: str, stream: str) -> StepFeatures:
    encoder = frozen.encoders[stream]

    def encode(batch: Batch) -> Tensor:
        signal = batch.signals[stream]
        encoded = encode_present(encoder, signal)
        assert encoded is not None  # noqa: S101 - samples with step labels have the stream
        return scatter_rows(encoded.sequence, signal.present)

    return StepFeatures(_reader(frozen.dataset, target, stream), encode, time_patching(encoder, stream).steps)


def _raw(frozen: FrozenEncoders, target: str, stream: str) -> StepFeatures:
    """Standardised readings of a position's steps and of its neighbours', as the encoder gets them."""
    patching = time_patching(frozen.encoders[stream], stream)

    def encode(batch: Batch) -> Tensor:
        own = patching.patches(batch.signals[stream])
        values = own.values * own.known
        edge = torch.zeros_like(values[:, :1])
        before, after = torch.cat([edge, values[:, :-1]], dim=1), torch.cat([values[:, 1:], edge], dim=1)
        return torch.cat([before, values, after], dim=2)

    return StepFeatures(_reader(frozen.dataset, target, stream), encode, patching.steps)


def _reader(dataset: Dataset, target: str, stream: str) -> Read:
    return lambda idx: dataset.reader.batch(idx, streams=[stream], step_labels=[target])
