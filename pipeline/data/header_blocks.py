"""All members of an archive at once where an index tells their places: headers parsed as one array, not one by one."""

import os

import numpy as np

from pipeline.data.ustar import BLOCK, REGULAR, Member, after, first_bytes

_KINDS = np.frombuffer(b"".join(REGULAR), np.uint8)
_NAME, _SIZE, _CHECKSUM, _KIND = slice(0, 100), slice(124, 135), slice(148, 154), 156
_ZEROS = [135, 154, 345]  # behind size and checksum, and where a prefix would begin
_WINDOW = 4096


def members_at(descriptor: int, num_bytes: int, offsets: np.ndarray, sizes: np.ndarray) -> list[Member] | None:
    """The members of a plain archive, front to back, or None where anything is other than usual.

    offsets and sizes (n,) are those of known payloads; between two of them there may be one unknown member. None says
    nothing about damage: `walk_file` is the authority, and names it. A list is what `walk_file` would give.
    """
    starts = np.unique(np.concatenate([[0], offsets - BLOCK, after(offsets, sizes)]))
    if starts[0] < 0 or starts[-1] + BLOCK > num_bytes:
        return None
    if first_bytes(lambda offset, size: os.pread(descriptor, size, offset), int(starts[-1]), num_bytes) is not None:
        return None
    members: list[Member] = []
    starts, ends = starts[:-1], starts[1:]
    for first in range(0, len(starts), _WINDOW):
        own = starts[first : first + _WINDOW]
        blocks = b"".join(os.pread(descriptor, BLOCK, start) for start in own.tolist())
        found = _parse(blocks, own, ends[first : first + _WINDOW])
        if found is None:
            return None
        members += found
    return members


def _parse(blocks: bytes, starts: np.ndarray, ends: np.ndarray) -> list[Member] | None:
    """Members of headers at starts (n,), each of which is to end where the next begins: ends (n,)."""
    if len(blocks) != BLOCK * len(starts):
        return None
    headers = np.frombuffer(blocks, np.uint8).reshape(-1, BLOCK)
    sizes, stated = _octal(headers[:, _SIZE]), _octal(headers[:, _CHECKSUM])
    if sizes is None or stated is None:
        return None
    total = headers.sum(axis=1, dtype=np.int64) - headers[:, 148:156].sum(axis=1, dtype=np.int64) + 8 * 32
    names = np.ascontiguousarray(headers[:, _NAME])
    texts = names.view("S100")[:, 0]
    is_usual = (
        (total == stated)
        & (after(starts + BLOCK, sizes) == ends)
        & np.isin(headers[:, _KIND], _KINDS)
        & (headers[:, _ZEROS] == 0).all(axis=1)
        & (names < 128).all(axis=1)
        & (np.count_nonzero(names, axis=1) == np.char.str_len(texts))  # nothing behind the name's end
    )
    if not is_usual.all():
        return None
    pairs = zip(texts.astype("U100").tolist(), starts.tolist(), sizes.tolist(), strict=True)
    return [Member(name, start + BLOCK, size) for name, start, size in pairs]


def _octal(digits: np.ndarray) -> np.ndarray | None:
    """Values of rows of octal digits (n, k); None where something else is written."""
    if not ((digits >= ord("0")) & (digits < ord("8"))).all():
        return None
    return (digits - ord("0")).astype(np.int64) @ (8 ** np.arange(digits.shape[1], dtype=np.int64)[::-1])
