"""Positions of the members of a plain ustar archive, read from its headers alone."""

import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

import numpy as np

from pipeline.errors import DataError, SecurityError

BLOCK = 512
Place = TypeVar("Place", int, np.ndarray)
REGULAR = (b"0", b"\0")


class Member(NamedTuple):
    """A regular file in a tar: its payload is bytes [offset, offset + size)."""

    name: str
    offset: int
    size: int


class Header(NamedTuple):
    """One header block: the name as bytes, the size of what follows, and the type flag."""

    name: bytes
    size: int
    kind: bytes


def walk_members(archive: memoryview, *, shard: str) -> Iterator[Member]:
    """All members in order. Raises DataError for damage and SecurityError for links, devices and extensions."""
    return walk_file(lambda offset, size: bytes(archive[offset : offset + size]), len(archive), shard=shard)


def walk_file(take: Callable[[int, int], bytes], num_bytes: int, *, shard: str) -> Iterator[Member]:
    """`walk_members` of a file of `num_bytes` by `take(offset, size)`, with ascending offsets.

    Nothing but zeros may follow the end mark.
    """
    position = 0
    while position + BLOCK <= num_bytes:
        block = take(position, BLOCK)
        if not any(block):
            check_zeros(take, position, num_bytes, shard=shard)
            return
        member = _member(read_header(block, shard=shard, offset=position), position, shard)
        if member.offset + member.size > num_bytes:
            raise DataError(
                "the archive ends inside a member",
                code="DATA_TRUNCATED",
                shard=shard,
                offset=position,
                expected=member.offset + member.size,
                got=num_bytes,
            )
        yield member
        position = after(member.offset, member.size)
    raise DataError("the archive has no end mark", code="DATA_TRUNCATED", shard=shard, offset=position)


def check_zeros(take: Callable[[int, int], bytes], position: int, num_bytes: int, *, shard: str) -> None:
    """Raises DataError where something follows the end mark at `position`: an early one would hide samples."""
    if (start := first_bytes(take, position, num_bytes)) is not None:
        raise DataError(
            "there are bytes behind the end mark",
            code="DATA_TRAILING",
            shard=shard,
            offset=start,
            fix="restore the shard, or ingest again",
        )


def first_bytes(take: Callable[[int, int], bytes], position: int, num_bytes: int) -> int | None:
    """Where a stretch from `position` on begins that is not all zeros; None where everything is."""
    for start in range(position, num_bytes, 1 << 20):
        if (found := take(start, min(1 << 20, num_bytes - start))).count(0) != len(found):
            return start
    return None


def after(offset: Place, size: Place) -> Place:
    """Where the header behind a payload begins; places are numbers or arrays of them."""
    return offset + -(-size // BLOCK) * BLOCK


def read_header(block: bytes, *, shard: str, offset: int) -> Header:
    """The fields of a header block whose checksum is right. Raises DataError."""
    try:
        checksum, size = int(block[148:155].partition(b"\0")[0], 8), int(block[124:136].rstrip(b"\0 "), 8)
    except ValueError as error:
        raise DataError("damaged header", code="DATA_TAR", shard=shard, offset=offset) from error
    if checksum != _sum(block[:148]) + 8 * 32 + _sum(block[156:256]) + _sum(block[256:]) or size < 0:
        raise DataError("header checksum does not match", code="DATA_TAR", shard=shard, offset=offset)
    name = block[:100].partition(b"\0")[0]
    prefix = block[345:500].partition(b"\0")[0] if block[345:346] != b"\0" and block[257:263] == b"ustar\0" else b""
    return Header(prefix + b"/" + name if prefix else name, size, block[156:157])


def _sum(block: bytes) -> int:
    """Sum of up to 256 bytes: the low half of Adler-32 from 0 is the sum modulo 65521, which they cannot reach."""
    return zlib.adler32(block, 0) & 0xFFFF


def _member(header: Header, position: int, shard: str) -> Member:
    if header.kind not in REGULAR:
        raise SecurityError(
            "the archive holds something other than plain files", code="SEC_TAR_MEMBER", shard=shard, offset=position
        )
    try:
        return Member(header.name.decode("ascii"), position + BLOCK, header.size)
    except ValueError as error:
        raise DataError("damaged header", code="DATA_TAR", shard=shard, offset=position) from error
