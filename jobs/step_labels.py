"""The stream that a step label of the data set belongs to, and the steps that positions of its encoder stand for."""

from torch import nn

from jobs.assemble import Dataset
from modalities.sensor.patching import TimePatching
from modalities.spec import PatchEncoder
from pipeline.errors import ConfigError, DataError


def labelled_stream(dataset: Dataset, label: str, streams: list[str], *, field: str) -> str:
    """field: key of the recipe that names the label, whose stream must be one of `streams`.

    Raises DataError where the data set has no such label, ConfigError where the stream takes no part.
    """
    known = dataset.manifest.step_labels
    if label not in known:
        raise DataError(
            f"the data set has no step label {label!r}",
            code="DATA_FIELD",
            field=field,
            expected=sorted(known),
            got=label,
            fix="ingest with step_labels, or leave it out",
        )
    stream = known[label].stream
    if stream not in streams:
        raise ConfigError(
            f"step label {label} belongs to a stream that the recipe leaves out",
            code="CONFIG_STREAM",
            field=field,
            expected=stream,
            got=sorted(streams),
            fix=f"add {stream} to streams",
        )
    return stream


def time_patching(encoder: nn.Module, stream: str) -> TimePatching:
    """Raises ConfigError for an encoder whose positions are no stretches of time, such as that of a spectrum."""
    patching = encoder.patching if isinstance(encoder, PatchEncoder) else None
    if not isinstance(patching, TimePatching):
        raise ConfigError(
            f"{stream} has labels of single steps, but the positions of its encoder are no stretches of time",
            code="CONFIG_STREAM",
            field=f"streams.{stream}.encoder",
            fix="take a resnet or patch_transformer for it, or read no step labels",
        )
    return patching
