"""The sample ledger: what a run was trained on, step by step.

A header of 64 bytes: the magic `KINDLEDG`, uint32 version, uint32 samples per step, 32 bytes SHA-256 of the run's
identity, 16 zero bytes. Then one record per optimiser step, all little-endian: int64 epoch, int64 step of the epoch,
the int64 sample numbers of the global batch in canonical order, and 32 bytes of chain, which is the SHA-256 of the
record before (the header before the first) and of this record's numbers. So the last 32 bytes name the whole file.
"""

import hashlib
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from pydantic import JsonValue

from pipeline.errors import CheckpointError, DataError, StorageError, TrainingHealthError
from pipeline.types import Cursor

LEDGER_NAME = "ledger.bin"
MAX_BATCH = 1 << 24
_MAGIC, _VERSION = b"KINDLEDG", 1
_HEADER = struct.Struct("<8sII32s16x")
_DIGEST = 32


@dataclass(frozen=True)
class LedgerHeader:
    """samples: per step. identity: SHA-256 of the run's identity."""

    samples: int
    identity: bytes

    @property
    def record_bytes(self) -> int:
        """Size of one record."""
        return 8 * (2 + self.samples) + _DIGEST

    def to_bytes(self) -> bytes:
        """The first 64 bytes of the file."""
        return _HEADER.pack(_MAGIC, _VERSION, self.samples, self.identity)


@dataclass(frozen=True)
class LedgerRecord:
    """One step: its place in the order, its sample numbers (B,) int64, its chain value, and whether that is right."""

    cursor: Cursor
    idx: np.ndarray
    chain: str
    intact: bool


class Ledger:
    """Appends to a ledger, resuming after `committed` steps whose chain value is `chain` (None: from the start).

    Steps that an earlier attempt recorded after its last checkpoint are not thrown away: the replay has to record the
    same again. Without any checkpoint a run may still change, and then begins its ledger anew. Records are written at
    fixed places, so two writers of the same run cannot damage each other's work.
    """

    def __init__(self, path: Path, header: LedgerHeader, *, committed: int = 0, chain: str | None = None) -> None:
        self.path, self.header, self.records = path, header, committed
        self._chain = hashlib.sha256(header.to_bytes()).digest() if chain is None else bytes.fromhex(chain)
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            if not committed and self._stored_header() != header.to_bytes():
                os.ftruncate(self._file, 0)
                os.pwrite(self._file, header.to_bytes(), 0)
        except OSError as error:
            raise self._unwritable(error) from error
        self._check_committed()

    @property
    def sha256(self) -> str:
        """Chain value after the last recorded step."""
        return self._chain.hex()

    def append(self, cursor: Cursor, idx: np.ndarray) -> None:
        """Record a step. Raises TrainingHealthError where an earlier attempt recorded another one in its place."""
        numbers = np.concatenate([[cursor.epoch, cursor.step], idx]).astype("<i8").tobytes()
        chain = hashlib.sha256(self._chain + numbers).digest()
        record = numbers + chain
        if len(record) != self.header.record_bytes:
            raise ValueError(f"{len(idx)} samples in a ledger of {self.header.samples} per step")
        earlier = os.pread(self._file, len(record), self._offset(self.records))
        if earlier != record:
            self._refuse_other_step(cursor, earlier)
            try:
                os.pwrite(self._file, record, self._offset(self.records))
            except OSError as error:
                raise self._unwritable(error) from error
        self._chain, self.records = chain, self.records + 1

    def commit(self) -> dict[str, JsonValue]:
        """Make everything durable; what a checkpoint stores to resume from here."""
        try:
            os.fsync(self._file)
        except OSError as error:
            raise self._unwritable(error) from error
        return {"records": self.records, "sha256": self.sha256}

    def finish(self) -> dict[str, JsonValue]:
        """Commit, and end the run here: nothing may follow the last recorded step."""
        os.ftruncate(self._file, self._offset(self.records))
        return self.commit()

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _offset(self, records: int) -> int:
        return _HEADER.size + records * self.header.record_bytes

    def _stored_header(self) -> bytes:
        return os.pread(self._file, _HEADER.size, 0)

    def _check_committed(self) -> None:
        """The file is this run's, and whole up to the committed step."""
        header, stored = self._stored_header(), self._chain
        if header != self.header.to_bytes():
            raise self._of_another(header, expected=self.header.to_bytes())
        if self.records:
            stored = os.pread(self._file, _DIGEST, self._offset(self.records) - _DIGEST)
        if stored != self._chain:
            raise self._of_another(stored, expected=self._chain)

    def _of_another(self, stored: bytes, *, expected: bytes) -> CheckpointError:
        return CheckpointError(
            f"{self.path} does not belong to the checkpoint of step {self.records}",
            code="LEDGER_DAMAGED",
            field=self.path.name,
            expected=expected.hex(),
            got=stored.hex(),
            fix="restore the file, or start anew with --fork NAME",
        )

    def _refuse_other_step(self, cursor: Cursor, earlier: bytes) -> None:
        """A torn record, whose chain does not hold, was never finished and may be overwritten."""
        numbers, chain = earlier[:-_DIGEST], earlier[-_DIGEST:]
        if len(earlier) < self.header.record_bytes or hashlib.sha256(self._chain + numbers).digest() != chain:
            return
        raise TrainingHealthError(
            f"the replay of epoch {cursor.epoch} step {cursor.step} has other samples than the attempt before",
            code="LEDGER_REPLAY",
            field=self.path.name,
            expected=np.frombuffer(numbers, "<i8")[2:10].tolist(),
            got={"epoch": cursor.epoch, "step": cursor.step},
            fix="resume with the code and the data set of the attempt before, or start anew with --fork NAME",
        )

    def _unwritable(self, error: OSError) -> StorageError:
        return StorageError(
            f"could not write {self.path}: {error.strerror}",
            code="IO_LEDGER",
            field=str(self.path),
            fix="free space or repair the storage, then run the same command again",
        )


def open_ledger(path: Path, header: LedgerHeader, state: Mapping[str, JsonValue] | None) -> Ledger:
    """The ledger of a run that goes on from a checkpoint with this state, or begins (None).

    Raises CheckpointError where file and checkpoint do not belong together, and StorageError.
    """
    if state is None:
        return Ledger(path, header)
    committed = state.get("ledger")
    if not isinstance(committed, Mapping):
        raise CheckpointError(
            "the checkpoint has no ledger position",
            code="CKPT_MISSING",
            field="ledger",
            fix="it was written by an older version: start anew with --fork NAME",
        )
    return Ledger(path, header, committed=int(str(committed["records"])), chain=str(committed["sha256"]))


def read_header(file: BinaryIO) -> LedgerHeader:
    """Header at the start of an open ledger. Raises DataError."""
    payload = file.read(_HEADER.size)
    if len(payload) == _HEADER.size:
        magic, version, samples, identity = _HEADER.unpack(payload)
        if (magic, version) == (_MAGIC, _VERSION) and 0 < samples <= MAX_BATCH:
            return LedgerHeader(samples, identity)
    raise DataError("this is no sample ledger", code="LEDGER_DAMAGED", offset=0, fix="restore the file")


def read_records(file: BinaryIO, header: LedgerHeader) -> Iterator[LedgerRecord]:
    """Whole records one by one, up to and including the first whose chain does not hold."""
    chain = hashlib.sha256(header.to_bytes()).digest()
    intact = True
    while intact and len(record := file.read(header.record_bytes)) == header.record_bytes:
        chain = hashlib.sha256(chain + record[:-_DIGEST]).digest()
        intact = chain == record[-_DIGEST:]
        numbers = np.frombuffer(record, "<i8", count=2 + header.samples)
        yield LedgerRecord(Cursor(int(numbers[0]), int(numbers[1])), numbers[2:], chain.hex(), intact)
