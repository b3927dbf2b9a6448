"""Sequence rows of the probe stage: classes of single steps, from learned sequence features and from the controls."""

import torch
from torch import Tensor, nn

from jobs.assemble import Dataset
from jobs.configs import Recipe
from jobs.frozen import encoders_of
from jobs.pretrained import pretrained_encoders
from jobs.stages import Context
from jobs.step_labels import labelled_stream, time_patching
from pipeline.evaluate.sequence_probe import Read, SequenceRow, SequenceTask, StepFeatures, sequence_probe
from pipeline.model import encode_present, scatter_rows
from pipeline.types import Batch


def sequence_rows(context: Context, dataset: Dataset, moved: Dataset) -> list[SequenceRow]:
    """Of every target and source; none where the recipe has no targets.

    moved: the data set as the pretrained encoders read it. Raises DataError for a target that is no step label of it.
    """
    recipe, config, rows = context.recipe, context.recipe.sequence, list[SequenceRow]()
    if config is None:
        return rows
    named = list(recipe.streams)
    streams = {t: labelled_stream(dataset, t, named, field="sequence.targets") for t in config.targets}
    trained = encoders_of(recipe, moved, pretrained_encoders(recipe, context.folder))
    untrained = encoders_of(recipe, dataset, None)
    for target, stream in streams.items():
        task = _task(recipe, dataset, target)
        for source, features in {
            "probe": _learned(trained[stream], moved, target, stream),
            "random_init": _learned(untrained[stream], dataset, target, stream),
            "raw": _raw(untrained[stream], dataset, target, stream),
        }.items():
            rows += sequence_probe(
                features, task, source=source, stream=stream, config=config, probe=recipe.probe, seed=recipe.seed
            )
    return rows


def _task(recipe: Recipe, dataset: Dataset, target: str) -> SequenceTask:
    index = dataset.index
    groups = index.key if recipe.subject is None else index.group(recipe.subject)
    labelled = index.place(target).size >= 0
    train, test = (rows[labelled[rows]] for rows in (index.rows("train"), index.rows("test")))
    classes = dataset.manifest.step_labels[target].classes
    return SequenceTask(target, len(classes), groups.astype(str), train, test)


def _learned(encoder: nn.Module, dataset: Dataset, target: str, stream: str) -> StepFeatures:
    def encode(batch: Batch) -> Tensor:
        signal = batch.signals[stream]
        encoded = encode_present(encoder, signal)
        assert encoded is not None  # noqa: S101 - samples with step labels have the stream
        return scatter_rows(encoded.sequence, signal.present)

    return StepFeatures(_reader(dataset, target, stream), encode, time_patching(encoder, stream).steps)


def _raw(encoder: nn.Module, dataset: Dataset, target: str, stream: str) -> StepFeatures:
    """Standardised readings of a position's steps and of its neighbours', as the encoder gets them."""
    patching = time_patching(encoder, stream)

    def encode(batch: Batch) -> Tensor:
        own = patching.patches(batch.signals[stream])
        values = own.values * own.known
        edge = torch.zeros_like(values[:, :1])
        before, after = torch.cat([edge, values[:, :-1]], dim=1), torch.cat([values[:, 1:], edge], dim=1)
        return torch.cat([before, values, after], dim=2)

    return StepFeatures(_reader(dataset, target, stream), encode, patching.steps)


def _reader(dataset: Dataset, target: str, stream: str) -> Read:
    return lambda idx: dataset.reader.batch(idx, streams=[stream], step_labels=[target])
