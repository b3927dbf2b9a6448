"""The stream that a step label of the data set belongs to, and the steps that positions of its encoder stand for."""

from collections.abc import Collection, Mapping

from torch import nn

from jobs.lacking_column import lacking_column
from modalities.sensor.patching import TimePatching
from modalities.spec import PatchEncoder
from pipeline.data.manifest import StepLabelEntry
from pipeline.errors import ConfigError


def labelled_stream(known: Mapping[str, StepLabelEntry], label: str, streams: Collection[str], *, field: str) -> str:
    """known: step labels of the data set. field: key of the recipe that names the label. streams: those that take part.

    Raises DataError where the data set has no such label, ConfigError where the stream takes no part.
    """
    if label not in known:
        raise lacking_column(field, label, known)
    stream = known[label].stream
    if stream not in streams:
        raise ConfigError(
            f"step label {label} belongs to a stream that the recipe leaves out",
            code="CONFIG_STREAM",
            field=field,
            expected=stream,
            got=sorted(streams),
            fix=f"add {stream} to streams, or leave {label} out",
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
