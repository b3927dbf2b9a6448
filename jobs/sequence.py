"""Sequence rows of the probe stage: classes of single steps, from learned sequence features and from the controls."""

import torch
from torch import Tensor, nn

from jobs.assemble import Dataset
from jobs.configs import Recipe
from jobs.frozen import encoders_of
from jobs.pretrained import pretrained_encoders
from jobs.stages import Context
from modalities.sensor.patching import TimePatching
from modalities.spec import PatchEncoder
from pipeline.errors import ConfigError, DataError
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
    streams = {target: _stream(recipe, dataset, target) for target in config.targets}
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


def _stream(recipe: Recipe, dataset: Dataset, target: str) -> str:
    known = dataset.manifest.step_labels
    if target not in known:
        raise DataError(
            f"the data set has no step label {target!r}",
            code="DATA_FIELD",
            field="sequence.targets",
            expected=sorted(known),
            got=target,
            fix="ingest with step_labels, or leave it out",
        )
    stream = known[target].stream
    if stream not in recipe.streams:
        raise ConfigError(
            f"step label {target} belongs to a stream that the recipe leaves out",
            code="CONFIG_STREAM",
            field="sequence.targets",
            expected=stream,
            got=sorted(recipe.streams),
            fix=f"add {stream} to streams",
        )
    return stream


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

    return StepFeatures(_reader(dataset, target, stream), encode, _patching(encoder).steps)


def _raw(encoder: nn.Module, dataset: Dataset, target: str, stream: str) -> StepFeatures:
    """Standardised readings of a position's steps and of its neighbours', as the encoder gets them."""
    patching = _patching(encoder)

    def encode(batch: Batch) -> Tensor:
        own = patching.patches(batch.signals[stream])
        values = own.values * own.known
        edge = torch.zeros_like(values[:, :1])
        before, after = torch.cat([edge, values[:, :-1]], dim=1), torch.cat([values[:, 1:], edge], dim=1)
        return torch.cat([before, values, after], dim=2)

    return StepFeatures(_reader(dataset, target, stream), encode, patching.steps)


def _patching(encoder: nn.Module) -> TimePatching:
    """Every sensor encoder has one, and only sensor streams have step labels."""
    assert isinstance(encoder, PatchEncoder)  # noqa: S101
    assert isinstance(encoder.patching, TimePatching)  # noqa: S101
    return encoder.patching


def _reader(dataset: Dataset, target: str, stream: str) -> Read:
    return lambda idx: dataset.reader.batch(idx, streams=[stream], step_labels=[target])
