"""Writing samples into WebDataset tar shards of bounded size, byte for byte reproducible."""

import hashlib
import io
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from webdataset.writer import TarWriter

from pipeline.data.durable import write_durably
from pipeline.data.manifest import ShardEntry
from pipeline.data.ustar import walk_members


def shard_name(unit: int, part: int = 0) -> str:
    """File name of a shard: sorted by name, shards are in the order of their units and parts."""
    return f"shard-{unit:05d}.tar" if part == 0 else f"shard-{unit:05d}_{part:03d}.tar"


@dataclass(frozen=True)
class Payload:
    """Where a payload lies: shard number within the unit, position in the shard, checksum."""

    shard: int
    offset: int
    size: int
    crc32: int


@dataclass
class ShardWriter:
    """Collects the samples of one unit into tars of about `shard_bytes` below `folder`; use as a context manager.

    `entries` and `payloads` (one mapping of member extension -> Payload per sample, in order) are complete after exit.
    """

    folder: Path
    unit: int
    shard_bytes: int
    entries: list[ShardEntry] = field(default_factory=list)
    payloads: list[dict[str, Payload]] = field(default_factory=list)
    _buffer: io.BytesIO = field(default_factory=io.BytesIO)
    _tar: TarWriter | None = None
    _keys: list[str] = field(default_factory=list)

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._close_shard()
        elif self._tar is not None:
            self._tar.close()

    def add(self, key: str, members: Mapping[str, bytes]) -> None:
        """Append one sample: extension (for example "imu.npy") -> payload."""
        tar = self._tar
        if tar is None:
            self._buffer = io.BytesIO()
            tar = self._tar = TarWriter(self._buffer, user="", group="", mtime=0, encoder=False, compress=False)
        tar.write({"__key__": key, **members})
        self._keys.append(key)
        if tar.tarstream.offset >= self.shard_bytes:
            self._close_shard()

    def _close_shard(self) -> None:
        if self._tar is None:
            return
        self._tar.close()
        self._tar = None
        archive, name = self._buffer.getbuffer(), shard_name(self.unit, len(self.entries))
        self._locate(archive, name)
        write_durably(self.folder / name, archive)
        digest = hashlib.sha256(archive).hexdigest()
        self.entries.append(ShardEntry(name=name, bytes=len(archive), count=len(self._keys), sha256=digest))
        self._keys.clear()

    def _locate(self, archive: memoryview, name: str) -> None:
        """Read the positions back from the headers: the index describes the file as it is."""
        found: dict[str, dict[str, Payload]] = {key: {} for key in self._keys}
        for member in walk_members(archive, shard=name):
            key, _, extension = member.name.partition(".")
            payload = archive[member.offset : member.offset + member.size]
            found[key][extension] = Payload(len(self.entries), member.offset, member.size, zlib.crc32(payload))
        self.payloads += found.values()
