"""A data set read as encoders take it that were pretrained on another: channels by name, texts by their tokenizer."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from jobs._console import Console
from jobs._run_folder import RunFolder
from jobs._trained_streams import trained_streams
from jobs.assemble import Dataset, schema_of
from jobs.configs import Recipe
from jobs.pretrained import pretraining_of
from modalities.catalogue import AnySchema
from modalities.sensor.codec import SensorSchema
from modalities.sensor.matched_codec import MatchedCodec
from modalities.spec import Codec, SignalError, Statistics
from modalities.text.codec import TextCodec, TextSchema
from pipeline.data.manifest import StreamEntry, stream_folder
from pipeline.data.read import ShardReader
from pipeline.errors import CheckpointError

_SHOWN = 8


@dataclass(frozen=True)
class Transfer:
    """dataset: as the pretrained encoders read it, normalised with what they were trained with.

    channels: by stream, those the encoder knows and the data set lacks (`absent`), and the reverse (`left_out`).
    """

    dataset: Dataset
    channels: dict[str, dict[str, list[str]]]

    def warnings(self) -> list[str]:
        """A line for every stream whose channels are not those that its encoder was trained with."""
        return [
            f"The encoder of {name} was pretrained with other channels: {_what(c)}" for name, c in self.channels.items()
        ]

    def show(self, console: Console) -> None:
        """Print these lines."""
        for line in self.warnings():
            console.line(f"warning: {line}")


def transfer(recipe: Recipe, folder: RunFolder, dataset: Dataset) -> Transfer:
    """The data set for the pretrained encoders; unchanged where they were trained on streams like these.

    Raises CheckpointError for a stream that no encoder was trained with, or whose channels, units or rate do not fit.
    """
    pretrained = pretraining_of(recipe, folder)
    known, files = trained_streams(pretrained)
    changed: dict[str, _Stream] = {}
    for name in recipe.streams.keys() & dataset.schemas.keys():
        origin = recipe.pretrained_streams.get(name, name)
        entry = _entry(known, origin, name, pretrained)
        if (found := _changed(dataset, name, entry, stream_folder(files, origin), pretrained)) is not None:
            changed[name] = found
    return Transfer(_read_as(dataset, changed), _channels(changed))


@dataclass(frozen=True)
class _Stream:
    """What an encoder takes in place of what is stored."""

    schema: AnySchema
    statistics: Statistics
    fitted: Path
    codec: Codec


def _changed(dataset: Dataset, name: str, entry: StreamEntry, fitted: Path, pretrained: RunFolder) -> _Stream | None:
    """None where nothing changes: an equal stream, or pixels."""
    stored, trained = dataset.schemas[name], schema_of(name, entry)
    if trained == stored and sorted(entry.files.values()) == sorted(dataset.entry(name).files.values()):
        return None
    match stored, trained:
        case SensorSchema(), SensorSchema():
            codec = _matched(name, stored, trained, pretrained)
            return _Stream(codec.trained, entry.statistics, fitted, codec)
        case TextSchema(), TextSchema():
            own = {"max_characters": stored.max_characters, "allow_empty": stored.allow_empty}
            schema = trained.model_copy(update=own)
            return _Stream(schema, entry.statistics, fitted, TextCodec(schema, fitted))
    return None


def _matched(name: str, stored: SensorSchema, trained: SensorSchema, pretrained: RunFolder) -> MatchedCodec:
    try:
        return MatchedCodec(stored, trained)
    except SignalError as error:
        raise CheckpointError(
            f"stream {name} does not fit the encoder that {pretrained.path} trained: {error}",
            code="CKPT_INCOMPATIBLE",
            field=f"streams.{name}",
            expected=error.expected,
            got=error.got,
            fix=error.fix,
        ) from error


def _read_as(dataset: Dataset, changed: Mapping[str, _Stream]) -> Dataset:
    if not changed:
        return dataset
    codecs = dataset.reader.codecs | {name: stream.codec for name, stream in changed.items()}
    return replace(
        dataset,
        schemas=dataset.schemas | {name: stream.schema for name, stream in changed.items()},
        statistics=dataset.statistics | {name: stream.statistics for name, stream in changed.items()},
        fitted=dataset.fitted | {name: stream.fitted for name, stream in changed.items()},
        reader=ShardReader(dataset.source, dataset.manifest, dataset.index, codecs),
    )


def _channels(changed: Mapping[str, _Stream]) -> dict[str, dict[str, list[str]]]:
    codecs = {name: changed[name].codec for name in sorted(changed)}
    return {
        name: {"absent": [*codec.absent], "left_out": [*codec.left_out]}
        for name, codec in codecs.items()
        if isinstance(codec, MatchedCodec) and (codec.absent or codec.left_out)
    }


def _entry(known: Mapping[str, StreamEntry], origin: str, name: str, pretrained: RunFolder) -> StreamEntry:
    if origin not in known:
        raise CheckpointError(
            f"the pretraining in {pretrained.path} has no stream {origin}",
            code="CKPT_INCOMPATIBLE",
            field=f"streams.{name}",
            expected=sorted(known),
            got=origin,
            fix=f"say which one stands for it: pretrained_streams.{name}=NAME, or leave it out of streams",
        )
    return known[origin]


def _what(channels: Mapping[str, list[str]]) -> str:
    return "; ".join(f"{key.replace('_', ' ')} {_brief(names)}" for key, names in channels.items() if names)


def _brief(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
