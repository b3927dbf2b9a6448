"""One remote file, whole or not at all: bounded tries, length and sha256 checked while it arrives."""

import hashlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

from pipeline.data.place import redact
from pipeline.data.remote_folder import RemoteFolder
from pipeline.data.transfer_failed import TransferFailed
from pipeline.errors import DataError, KindredError, StorageError, StorageUnavailable

ResultT = TypeVar("ResultT")
_CHUNK = 1 << 20
_SLOWEST = 1024  # bytes per second; less over a whole timeout is a stall


@dataclass(frozen=True)
class Retries:
    """tries in all; before the n-th the wait is about first_wait_s * 2^(n-2), at most longest_wait_s."""

    tries: int = 5
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0

    def wait_s(self, failures: int) -> float:
        """Seconds before the next try, with jitter: workers that failed together do not come back together."""
        longest = min(self.longest_wait_s, self.first_wait_s * 2.0 ** (failures - 1))
        return random.SystemRandom().uniform(longest / 2, longest)


@dataclass(frozen=True)
class Expected:
    """What a file must be. size None: anything up to max_bytes. sha256 None: unchecked."""

    max_bytes: int
    size: int | None = None
    sha256: str | None = None
    shard: str | None = None


def download(remote: RemoteFolder, name: str, target: BinaryIO, expected: Expected, retries: Retries) -> None:
    """Write the remote file `name` into `target`, from its start.

    Raises StorageUnavailable (worth typing the command again) where it cannot be had in the bounded tries, StorageError
    where the server refuses it, DataError where it arrives but is another file, SecurityError at once.
    """

    def attempt() -> None:
        target.seek(0)
        _attempt(remote, name, target, expected)

    tried(attempt, remote, name, retries, shard=expected.shard)


def tried(
    action: Callable[[], ResultT], remote: RemoteFolder, name: str, retries: Retries, *, shard: str | None = None
) -> ResultT:
    """What `action` with the remote file `name` returns, in the bounded tries. Raises as `download` does."""
    failures = 0
    while True:
        try:
            return action()
        except (TransferFailed, DataError) as error:
            failures += 1
            if failures == retries.tries or (isinstance(error, TransferFailed) and error.permanent):
                raise _given_up(error, remote, name, failures, shard) from error
            time.sleep(retries.wait_s(failures))


def _attempt(remote: RemoteFolder, name: str, target: BinaryIO, expected: Expected) -> None:
    digest, received, pace = hashlib.sha256(), 0, _Pace(remote.io_timeout_s)
    limit = expected.max_bytes if expected.size is None else expected.size
    stream = remote.open(name)
    try:
        while chunk := stream.read(_CHUNK):
            received += len(chunk)
            if received > limit:
                raise _wrong("DATA_TOO_LARGE", "is larger than it may be", expected, f"<= {limit} bytes", received)
            digest.update(chunk)
            target.write(chunk)
            pace.check(received)
    finally:
        stream.close()
    if expected.size is not None and received != expected.size:
        raise _wrong("DATA_TRUNCATED", "ends early", expected, expected.size, received)
    if expected.sha256 is not None and digest.hexdigest() != expected.sha256:
        raise _wrong("DATA_CHECKSUM", "is not the file of the manifest", expected, expected.sha256, digest.hexdigest())


class _Pace:
    """A server that sends a byte now and then keeps every socket timeout quiet."""

    def __init__(self, window_s: float) -> None:
        self.window_s, self.since, self.had = window_s, time.monotonic(), 0

    def check(self, received: int) -> None:
        now = time.monotonic()
        if now - self.since < self.window_s:
            return
        if received - self.had < _SLOWEST * self.window_s:
            raise TransferFailed(f"stalled: {received - self.had} bytes in {now - self.since:.0f} s", permanent=False)
        self.since, self.had = now, received


def _wrong(code: str, what: str, expected: Expected, wanted: object, got: object) -> DataError:
    return DataError(f"the remote file {what}", code=code, shard=expected.shard, expected=wanted, got=got)


def _given_up(
    error: TransferFailed | DataError, remote: RemoteFolder, name: str, tries: int, shard: str | None
) -> KindredError:
    url = redact(remote.url.file(name))
    times = f"{tries} {'try' if tries == 1 else 'tries'}"
    if isinstance(error, DataError):
        return DataError(
            f"{url}: {error.message}, {times}",
            code=error.code,
            shard=shard,
            expected=error.expected,
            got=error.got,
            fix="restore the file on the server, or ingest again",
        )
    if error.permanent:
        fix = f"check {remote.section}.path, the credentials and that the file exists"
        message = f"{url} was refused: {error}"
        return StorageError(message, code="STORAGE_REFUSED", shard=shard, fix=fix)
    return StorageUnavailable(
        f"{url} could not be reached in {times}: {error}",
        code="STORAGE_UNAVAILABLE",
        shard=shard,
        fix="type the same command again when the server answers",
    )
