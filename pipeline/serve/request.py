"""Samples of a request -> signals, by the codecs that read training data. Refusals never quote what was sent."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from modalities.spec import Codec, Signal, SignalError
from pipeline.data.bad_sample import bad_sample
from pipeline.errors import DataError

Parse: TypeAlias = Callable[[object], np.ndarray | str | bytes]
_SHOWN_LETTERS = 40


@dataclass(frozen=True)
class ServedStream:
    """parse: JSON value -> raw value, as ingest would have found it; codec: raw value -> stored bytes -> signal.

    of: what a sample calls it, as the data set did.
    """

    of: str
    parse: Parse
    codec: Codec


def read_samples(samples: object, streams: Mapping[str, ServedStream], *, limit: int) -> dict[str, Signal]:
    """Signals of every stream, one row a sample: a list of objects that give each of their streams, or null.

    Raises DataError naming sample and stream: too many samples, an unknown stream, one that does not fit its schema, a
    sample without any.
    """
    found, asked = _checked(samples, limit), sorted({stream.of for stream in streams.values()})
    payloads: dict[str, list[bytes | None]] = {name: [] for name in streams}
    for number, sample in enumerate(found):
        _check_names(number, sample, asked)
        for name, stream in streams.items():
            value = sample.get(stream.of)
            payloads[name].append(None if value is None else _stored(number, stream, value))
    return {name: _decoded(stream, payloads[name]) for name, stream in streams.items()}


def _checked(samples: object, limit: int) -> Sequence[Mapping[str, object]]:
    if not isinstance(samples, list) or not samples:
        raise _refused("a request is a list of samples", code="DATA_REQUEST", expected="one sample or more")
    if len(samples) > limit:
        raise _refused(
            "the request has too many samples",
            code="DATA_TOO_LARGE",
            expected=f"<= {limit} samples",
            got=len(samples),
            fix="ask in several requests",
        )
    for number, sample in enumerate(samples):
        if not isinstance(sample, dict):
            message = "a sample is an object of streams"
            raise _refused(message, code="DATA_REQUEST", number=number, expected="object", got=type(sample).__name__)
    return samples


def _check_names(number: int, sample: Mapping[str, object], streams: Sequence[str]) -> None:
    unknown = next((name for name in sample if name not in streams), None)
    if unknown is not None:
        near = difflib.get_close_matches(str(unknown)[:_SHOWN_LETTERS], streams, n=1)
        raise _refused(
            "the model has no such stream",
            code="DATA_FIELD",
            number=number,
            expected=[*streams],
            got=str(unknown)[:_SHOWN_LETTERS],
            fix=f"did you mean {near[0]!r}?" if near else "leave it out",
        )
    if all(value is None for value in sample.values()):
        message, fix = "the sample has no stream at all", "give one stream or more"
        raise _refused(message, code="DATA_MISSING_MODALITY", number=number, expected=[*streams], fix=fix)


def _stored(number: int, stream: ServedStream, value: object) -> bytes:
    try:
        return stream.codec.encode(stream.parse(value))
    except SignalError as error:
        raise _refusal(error, number, stream.of) from None


def _decoded(stream: ServedStream, payloads: list[bytes | None]) -> Signal:
    try:
        return stream.codec.decode(payloads)
    except SignalError as error:
        raise _refusal(error, error.row, stream.of) from None


def _refusal(error: SignalError, number: int | None, stream: str) -> DataError:
    """The codec's complaint without the reading that it quotes."""
    if isinstance(error.got, dict):
        error.got = {name: part for name, part in error.got.items() if name != "value"}
    return bad_sample(error, field=stream, key=None if number is None else f"sample {number}")


def _refused(
    message: str,
    *,
    code: str,
    number: int | None = None,
    expected: object = None,
    got: object = None,
    fix: str = "",
) -> DataError:
    key = None if number is None else f"sample {number}"
    return DataError(message, code=code, key=key, field="inputs", expected=expected, got=got, fix=fix)
