"""One raw record to its samples: a pure function, so that records can be encoded in any process, in any order."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from modalities.spec import Codec, SignalError
from pipeline.data.bad_sample import bad_sample
from pipeline.data.description import Description
from pipeline.data.file_source import RawData
from pipeline.data.records import Record
from pipeline.data.series import Series, SeriesSource
from pipeline.data.sources import Raw, RawSource
from pipeline.data.step_codec import StepCodec
from pipeline.data.timestamps import parse_time
from pipeline.data.windows import Window, align, cut
from pipeline.errors import DataError, KindredError, SecurityError


@dataclass(frozen=True)
class EncodedSample:
    """Payload of each stream and step label that one sample has; times in UTC ns, -1 where unknown."""

    key: str
    window: int
    start_ns: int
    end_ns: int
    payloads: dict[str, bytes]
    steps: dict[str, bytes] = field(default_factory=dict)

    def without_payloads(self) -> "EncodedSample":
        """The small part, to remember once the payloads are stored."""
        return replace(self, payloads={}, steps={})


@dataclass(frozen=True)
class EncodedRecord:
    """Samples of one record, or every problem found in it."""

    record: Record
    samples: tuple[EncodedSample, ...]
    num_dropped_windows: int
    problems: tuple[KindredError, ...]


@dataclass(frozen=True)
class RecordEncoder:
    """Record -> EncodedRecord. Never raises for bad data: the problems are part of the result."""

    description: Description
    data: RawData
    codecs: Mapping[str, Codec]

    def __call__(self, record: Record) -> EncodedRecord:
        raws, problems = self._read(record, self.description.raw_sources())
        labels = {
            n: s for n, s in self.description.step_sources().items() if self.description.step_labels[n].stream in raws
        }
        codes, more = self._read(record, labels)
        if not raws and not problems:
            problems.append(DataError("the record has no stream at all", code="DATA_MISSING_MODALITY", key=record.key))
        if problems := [*problems, *more]:
            return EncodedRecord(record, (), 0, tuple(problems))
        try:
            windows, dropped, origin_ns = self._cut(record, raws, codes)
        except DataError as error:
            return EncodedRecord(record, (), 0, (_located(error, record.key, error.field),))
        texts_and_files = {name: raw for name, raw in raws.items() if not isinstance(raw, Series)}
        constant, problems = self._payloads(record.key, texts_and_files)
        samples = []
        for window in windows:
            sample, found = self._sample(record, window, origin_ns=origin_ns, constant=constant)
            samples.append(sample)
            problems += found
        return EncodedRecord(record, () if problems else tuple(samples), dropped, tuple(problems))

    def _read(self, record: Record, sources: Mapping[str, RawSource]) -> tuple[dict[str, Raw], list[KindredError]]:
        raws: dict[str, Raw] = {}
        problems: list[KindredError] = []
        for name, source in sources.items():
            try:
                raw = source.read(record, self.data)
            except (DataError, SecurityError) as error:
                problems.append(_located(error, record.key, name))
                continue
            if raw is not None:
                raws[name] = raw
        return raws, problems

    def _cut(
        self, record: Record, raws: Mapping[str, Raw], codes: Mapping[str, Raw]
    ) -> tuple[list[Window], int, int | None]:
        series = {name: raw for name, raw in raws.items() if isinstance(raw, Series)}
        aligned, first_ns = align(series)
        origin_ns = first_ns if self._has_utc() and first_ns is not None else self._start(record)
        length_s = max((s.values.shape[1] / s.rate_hz for s in aligned.values()), default=0.0)
        steps = self._steps(codes, aligned)
        if self.description.window is None or not aligned:
            return [Window(0, 0.0, length_s, aligned, steps)], 0, origin_ns
        required = frozenset(name for name, s in self.description.streams.items() if not s.optional)
        windows, dropped = cut(aligned, self.description.window, required=required)
        if not windows:
            raise DataError(
                "the record gives no window",
                code="DATA_NO_WINDOW",
                field="window",
                expected=self.description.window.length_s,
                got=round(length_s, 6),
                fix="lower window.length_s, min_fraction or min_observed, or set policy: quarantine",
            )
        return [self._labelled(window, steps) for window in windows], dropped, origin_ns

    def _steps(self, codes: Mapping[str, Raw], streams: Mapping[str, Series]) -> dict[str, np.ndarray]:
        found = {}
        for name, raw in codes.items():
            label = self.description.step_labels[name]
            assert isinstance(raw, Series)  # noqa: S101 - only such sources are allowed
            try:
                found[name] = label.on_steps(raw, streams[label.stream], self.description.labelled_source(name))
            except DataError as error:
                error.field = name
                raise
        return found

    def _labelled(self, window: Window, steps: Mapping[str, np.ndarray]) -> Window:
        labels = self.description.step_labels
        own = {name: window.steps_of(labels[name].stream, classes) for name, classes in steps.items()}
        return replace(window, steps={name: classes for name, classes in own.items() if classes is not None})

    def _has_utc(self) -> bool:
        return any(isinstance(s, SeriesSource) and s.clock == "utc" for s in self.description.streams.values())

    def _start(self, record: Record) -> int | None:
        start = self.description.start
        if start is None or not record.row[start.column]:
            return None
        return parse_time(record.row[start.column], start.unit)

    def _sample(
        self, record: Record, window: Window, *, origin_ns: int | None, constant: dict[str, bytes]
    ) -> tuple[EncodedSample, list[KindredError]]:
        key = record.key if self.description.window is None else f"{record.key}-{window.number:05d}"
        payloads, problems = self._payloads(key, {name: series.values for name, series in window.series.items()})
        start_ns = -1 if origin_ns is None else origin_ns + round(window.start_s * 1e9)
        end_ns = -1 if origin_ns is None else start_ns + round(window.length_s * 1e9)
        payloads, steps = {**payloads, **constant}, self._step_payloads(window)
        return EncodedSample(key, window.number, start_ns, end_ns, payloads, steps), problems

    def _step_payloads(self, window: Window) -> dict[str, bytes]:
        """A series that is too long for its stream is refused there."""
        classes = self.description.step_labels
        return {n: StepCodec(len(classes[n].classes), len(own)).encode(own) for n, own in window.steps.items()}

    def _payloads(
        self, key: str, values: Mapping[str, np.ndarray | bytes | str]
    ) -> tuple[dict[str, bytes], list[KindredError]]:
        payloads: dict[str, bytes] = {}
        problems: list[KindredError] = []
        for name, value in values.items():
            try:
                payloads[name] = self.codecs[name].encode(value)
            except SignalError as error:
                problems.append(bad_sample(error, key=key, field=name))
        return payloads, problems


def _located(error: KindredError, key: str, field: str | None) -> KindredError:
    error.key, error.field = key, field
    return error
