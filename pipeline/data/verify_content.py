"""One shard against its index in one pass: hash, members, checksums, decoding. A pure function, for any process."""

import hashlib
import os
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from modalities.spec import Codec, SignalError, Statistics
from pipeline.data.bad_sample import bad_sample
from pipeline.data.drift import Moments
from pipeline.data.findings import MAX_PROBLEMS
from pipeline.data.forward_file import ForwardFile
from pipeline.data.header_blocks import members_at
from pipeline.data.manifest import ShardEntry
from pipeline.data.shard_source import ShardSource
from pipeline.data.step_codec import num_steps
from pipeline.data.ustar import Member, walk_file
from pipeline.data.verify_moments import moments
from pipeline.errors import DataError, KindredError

_BATCH = 256
_DECODED_BYTES = 64 << 20
_RESTORE = "restore the shard, or ingest again"


@dataclass(frozen=True)
class ShardTask:
    """What the index says of one shard: idx, key, split (n,); stream -> (offset, size, crc32, suspect), each (n,).

    suspect: True where another sample of the data set may have the same payload. is_own: whether we wrote the shard.
    """

    number: int
    entry: ShardEntry
    idx: np.ndarray
    key: np.ndarray
    split: np.ndarray
    streams: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]
    is_own: bool


@dataclass
class ShardResult:
    """What one shard gave. moments: stream -> split -> Moments; content: stream -> idx -> hash of suspect payloads."""

    task: int
    num_bytes: int
    problems: list[KindredError] = field(default_factory=list)
    num_more: int = 0
    moments: dict[str, dict[str, Moments]] = field(default_factory=dict)
    content: dict[str, dict[int, bytes]] = field(default_factory=dict)

    def add(self, problem: KindredError) -> None:
        """Keep a problem, or count it."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)
        else:
            self.num_more += 1


@dataclass(frozen=True)
class ShardCheck:
    """ShardTask -> ShardResult; picklable. Without codecs only hashes: a wrong one is then traced to its samples.

    step_labels: name -> stream, whose steps must all have one.
    """

    source: ShardSource
    codecs: Mapping[str, Codec] | None
    statistics: Mapping[str, Statistics]
    step_labels: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, task: ShardTask) -> ShardResult:
        result = ShardResult(task.number, task.entry.bytes)
        try:
            descriptor = self.source.open(task.entry)
        except DataError as error:  # storage that does not answer is no damage: it ends the check
            result.add(error)
            return result
        try:
            self._check(descriptor, task, result)
        except KindredError as error:
            result.add(error)
        finally:
            os.close(descriptor)
        return result

    def _check(self, descriptor: int, task: ShardTask, result: ShardResult) -> None:
        file = ForwardFile(descriptor, task.entry.bytes, shard=task.entry.name)
        if self.codecs is None:
            if file.sha256() == task.entry.sha256:
                return
            file = ForwardFile(descriptor, task.entry.bytes, shard=task.entry.name)
        _Pass(task, file, self, result).run(descriptor)
        got = file.sha256()
        if got != task.entry.sha256 and not result.problems:
            result.add(
                DataError(
                    "the shard has changed outside its payloads",
                    code="DATA_CHECKSUM",
                    shard=task.entry.name,
                    expected=task.entry.sha256,
                    got=got,
                    fix=_RESTORE,
                )
            )


class _Pass:
    """One walk through a shard."""

    def __init__(self, task: ShardTask, file: ForwardFile, check: ShardCheck, result: ShardResult) -> None:
        self.task, self.file, self.check, self.result = task, file, check, result
        self.at = {
            offset: (name, row)
            for name, (offsets, sizes, _, _) in task.streams.items()
            for row, (offset, size) in enumerate(zip(offsets.tolist(), sizes.tolist(), strict=True))
            if size >= 0
        }
        self.crc = {name: columns[2].tolist() for name, columns in task.streams.items()}
        self.size = {name: columns[1].tolist() for name, columns in task.streams.items()}
        self.suspect = {name: columns[3].tolist() for name, columns in task.streams.items()}
        self.keys = task.key.tolist()
        self.metas = {f"{key}.meta.json" for key in self.keys} if task.is_own else set()
        self.waiting: dict[str, list[tuple[int, bytes]]] = {name: [] for name in task.streams}
        self.rows = dict.fromkeys(task.streams, 16)
        self.steps: dict[str, dict[int, int]] = {n: {} for pair in check.step_labels.items() for n in pair}

    def run(self, descriptor: int) -> None:
        """Members, then what the index has and the walk did not meet."""
        try:
            for member in self._members(descriptor):
                self._member(member)
        except KindredError as error:
            self.result.add(error)
            self._unreached(descriptor)
        else:
            for name, row in self.at.values():
                self.result.add(self._problem("the index names a member that is not there", "DATA_MEMBER", name, row))
            for name in sorted(self.metas):
                self._named("a sample lacks its meta.json", name, 0)
        for name in self.waiting:
            self._decode(name)
        for name, stream in self.check.step_labels.items():
            for row, steps in self.steps[name].items():
                if steps < (expected := self.steps[stream].get(row, 0)):
                    message = "step labels end before the steps of their stream"
                    self.result.add(self._problem(message, "DATA_SHAPE", name, row, expected, steps))

    def _members(self, descriptor: int) -> Iterable[Member]:
        if self.task.is_own:
            places = [np.concatenate([columns[part] for columns in self.task.streams.values()]) for part in (0, 1)]
            known = members_at(descriptor, self.task.entry.bytes, *(part[places[1] >= 0] for part in places))
            return known or walk_file(self.file.take, self.task.entry.bytes, shard=self.task.entry.name)
        names = ((offset, *place) for offset, place in sorted(self.at.items()))
        return [Member("", offset, self.size[name][row]) for offset, name, row in names]

    def _member(self, member: Member) -> None:
        place = self.at.pop(member.offset, None)
        if place is None:
            if member.name in self.metas:
                self.metas.remove(member.name)
                return
            self._named("a member that the index does not know", member.name, member.offset)
            return
        name, row = place
        if self.task.is_own and not self._is_named(member.name, name, row):
            message, expected = "a member has another name than the index says", f"{self.keys[row]}.{name}"
            self.result.add(self._problem(message, "DATA_MEMBER", name, row, expected, member.name))
            return
        if member.size != self.size[name][row]:
            message = "a member has another size than the index says"
            self.result.add(self._problem(message, "DATA_MEMBER", name, row, self.size[name][row], member.size))
            return
        self._payload(name, row, self.file.take(member.offset, member.size))

    def _is_named(self, found: str, name: str, row: int) -> bool:
        key, _, rest = found.partition(".")
        stream, _, extension = rest.partition(".")
        known = (extension,) if self.check.codecs is None else self.check.codecs[name].extensions
        return key == self.keys[row] and stream == name and extension in known

    def _payload(self, name: str, row: int, payload: bytes) -> None:
        if (got := zlib.crc32(payload)) != self.crc[name][row]:
            message = "the stored payload has changed"
            self.result.add(self._problem(message, "DATA_CHECKSUM", name, row, self.crc[name][row], got))
            return
        if self.check.codecs is None:
            return
        if self.suspect[name][row]:
            digest = hashlib.blake2b(payload, digest_size=16).digest()
            self.result.content.setdefault(name, {})[int(self.task.idx[row])] = digest
        self.waiting[name].append((row, payload))
        if len(self.waiting[name]) >= self.rows[name]:
            self._decode(name)

    def _decode(self, name: str) -> None:
        """Decode what waits; where a batch is refused, one by one to name every bad sample."""
        rows, self.waiting[name] = self.waiting[name], []
        if self.check.codecs is None or not rows:
            return
        try:
            self._decode_rows(name, rows)
        except SignalError as error:
            if error.row is None:
                self.result.add(bad_sample(error, shard=self.task.entry.name, field=name))
                return
            for row, payload in rows:
                try:
                    self._decode_rows(name, [(row, payload)])
                except SignalError as one:
                    offset, key = int(self.task.streams[name][0][row]), self.keys[row]
                    self.result.add(bad_sample(one, shard=self.task.entry.name, offset=offset, key=key, field=name))

    def _decode_rows(self, name: str, rows: list[tuple[int, bytes]]) -> None:
        assert self.check.codecs is not None  # noqa: S101 - the caller looked
        signal = self.check.codecs[name].decode([payload for _, payload in rows])
        if name in self.steps:
            self.steps[name] |= zip((row for row, _ in rows), num_steps(signal).tolist(), strict=True)
        per_row = max(1, signal.values.nbytes // len(rows))
        self.rows[name] = max(1, min(_BATCH, _DECODED_BYTES // per_row))
        found = self.result.moments.setdefault(name, {})
        splits = self.task.split[[row for row, _ in rows]]
        for split, new in moments(signal, self.check.statistics[name], splits).items():
            found[split] = found[split] + new if split in found else new

    def _unreached(self, descriptor: int) -> None:
        """The payloads behind a broken header, by the index alone."""
        for offset, (name, row) in sorted(self.at.items()):
            payload = os.pread(descriptor, self.size[name][row], offset)
            if zlib.crc32(payload) != self.crc[name][row]:
                self.result.add(self._problem("the stored payload has changed", "DATA_CHECKSUM", name, row))

    def _problem(
        self, message: str, code: str, name: str, row: int, expected: object = None, got: object = None
    ) -> DataError:
        return DataError(
            message,
            code=code,
            shard=self.task.entry.name,
            offset=int(self.task.streams[name][0][row]),
            key=self.keys[row],
            field=name,
            expected=expected,
            got=got,
            fix=_RESTORE,
        )

    def _named(self, message: str, name: str, offset: int) -> None:
        key, _, stream = name.partition(".")
        self.result.add(
            DataError(
                message,
                code="DATA_MEMBER",
                shard=self.task.entry.name,
                offset=offset or None,
                key=key,
                field=stream,
                got=name,
                fix=_RESTORE,
            )
        )
