"""Positions of the members of a plain ustar archive, read from its headers alone."""

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.errors import DataError, SecurityError

BLOCK = 512


@dataclass(frozen=True)
class Member:
    """A regular file in a tar: its payload is bytes [offset, offset + size)."""

    name: str
    offset: int
    size: int


def walk_members(archive: memoryview, *, shard: str) -> Iterator[Member]:
    """All members in order. Raises DataError for damage and SecurityError for links, devices and extensions."""
    position = 0
    while position + BLOCK <= len(archive):
        header = bytes(archive[position : position + BLOCK])
        if not any(header):
            return
        member = _member(header, position, shard)
        if member.offset + member.size > len(archive):
            raise DataError(
                "the archive ends inside a member",
                code="DATA_TRUNCATED",
                shard=shard,
                offset=position,
                expected=member.offset + member.size,
                got=len(archive),
            )
        yield member
        position = member.offset + -(-member.size // BLOCK) * BLOCK
    raise DataError("the archive has no end mark", code="DATA_TRUNCATED", shard=shard, offset=position)


def _member(header: bytes, position: int, shard: str) -> Member:
    try:
        checksum, size = int(header[148:155].split(b"\0")[0], 8), int(header[124:136].rstrip(b"\0 "), 8)
        name = header[:100].rstrip(b"\0").decode("ascii")
    except ValueError as error:
        raise DataError("damaged header", code="DATA_TAR", shard=shard, offset=position) from error
    if checksum != sum(header[:148]) + sum(header[156:]) + 8 * 32 or size < 0:
        raise DataError("header checksum does not match", code="DATA_TAR", shard=shard, offset=position)
    if header[156:157] not in (b"0", b"\0"):
        raise SecurityError(
            "the archive holds something other than plain files", code="SEC_TAR_MEMBER", shard=shard, offset=position
        )
    return Member(name, position + BLOCK, size)
