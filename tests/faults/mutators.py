"""Damage to bytes: seeded mutators of tar archives, payloads and JSON, each (bytes, generator) -> bytes."""

import json
from collections.abc import Callable, Mapping

import numpy as np

BLOCK = 512
Mutator = Callable[[bytes, np.random.Generator], bytes]


def truncated(data: bytes, rng: np.random.Generator) -> bytes:
    """Cut anywhere."""
    return data[: rng.integers(0, len(data))]


def cut_at_block(data: bytes, rng: np.random.Generator) -> bytes:
    """Cut at a border of 512 bytes, where a plain tar reader sees a clean end."""
    return data[: BLOCK * rng.integers(0, max(1, len(data) // BLOCK))]


def bit_flipped(data: bytes, rng: np.random.Generator) -> bytes:
    """One bit of one byte."""
    changed = bytearray(data)
    changed[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def bytes_overwritten(data: bytes, rng: np.random.Generator) -> bytes:
    """A run of random bytes."""
    start = int(rng.integers(len(data)))
    length = min(len(data) - start, int(rng.integers(1, 64)))
    return data[:start] + rng.bytes(length) + data[start + length :]


def zeroed_block(data: bytes, rng: np.random.Generator) -> bytes:
    """A block of zeros: an early end mark, or a hole in a payload."""
    start = _block(data, rng)
    return data[:start] + b"\0" * len(data[start : start + BLOCK]) + data[start + BLOCK :]


def dropped_block(data: bytes, rng: np.random.Generator) -> bytes:
    """A block is missing."""
    start = _block(data, rng)
    return data[:start] + data[start + BLOCK :]


def repeated_block(data: bytes, rng: np.random.Generator) -> bytes:
    """A block comes twice."""
    start = _block(data, rng)
    return data[: start + BLOCK] + data[start:]


def swapped_blocks(data: bytes, rng: np.random.Generator) -> bytes:
    """Two blocks change places."""
    first, second = sorted((_block(data, rng), _block(data, rng)))
    a, b = data[first : first + BLOCK], data[second : second + BLOCK]
    if first == second or len(b) < BLOCK:
        return data
    return data[:first] + b + data[first + BLOCK : second] + a + data[second + BLOCK :]


def extended(data: bytes, rng: np.random.Generator) -> bytes:
    """Something behind the end."""
    return data + rng.bytes(int(rng.integers(1, 2048)))


ANYWHERE: tuple[Mutator, ...] = (truncated, bit_flipped, bytes_overwritten, extended)

_HEADER_FIELDS: Mapping[str, tuple[int, int, tuple[bytes, ...]]] = {
    "name": (
        0,
        100,
        (b"../../escape.npy", b"/etc/passwd", b"a\\..\\b", b"\xff\xfe.npy", b"", b"other.npy", b"x" * 100),
    ),
    "size": (
        124,
        12,
        (b"77777777777\0", b"\xff" * 12, b"-0000000001\0", b"00000000000\0", b"9" * 11 + b"\0", b"\0" * 12),
    ),
    "type": (156, 1, (b"1", b"2", b"3", b"5", b"6", b"x", b"g", b"L", b"S", b"Z")),
    "link": (157, 100, (b"/etc/passwd",)),
    "magic": (257, 8, (b"\0" * 8, b"ustar  \0", b"garbage!")),
    "prefix": (345, 155, (b"../..", b"/root")),
}


def header_forged(data: bytes, rng: np.random.Generator) -> bytes:
    """A field of a tar header is replaced and the header's checksum made right again."""
    starts = [start for start in range(0, len(data) - BLOCK, BLOCK) if data[start + 257 : start + 262] == b"ustar"]
    if not starts:
        return data
    start = starts[rng.integers(len(starts))]
    offset, width, values = list(_HEADER_FIELDS.values())[rng.integers(len(_HEADER_FIELDS))]
    value = values[rng.integers(len(values))]
    header = bytearray(data[start : start + BLOCK])
    header[offset : offset + width] = value.ljust(width, b"\0")[:width]
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return data[:start] + bytes(header) + data[start + BLOCK :]


TAR: tuple[Mutator, ...] = (
    *ANYWHERE,
    cut_at_block,
    zeroed_block,
    dropped_block,
    repeated_block,
    swapped_blocks,
    header_forged,
)

_STRANGE_VALUES: tuple[object, ...] = (
    None, -1, 0, 1 << 62, 1 << 80, 1e308, "", "\x1b[2J", "../../x", "pipe:touch canary",
    [], {}, True, "ä" * 300, float("nan"),
)  # fmt: skip


def json_changed(data: bytes, rng: np.random.Generator) -> bytes:
    """One value somewhere in a JSON document is replaced, removed or joined by an unknown key."""
    document = json.loads(data)
    parent, key = document, 0
    while isinstance(parent, dict | list) and parent:
        keys = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
        key = keys[rng.integers(len(keys))]
        child = parent[key]
        if not isinstance(child, dict | list) or not child or rng.random() < 0.3:
            break
        parent = child
    action = rng.random()
    if action < 0.6:
        parent[key] = _STRANGE_VALUES[rng.integers(len(_STRANGE_VALUES))]
    elif action < 0.8:
        del parent[key]
    elif isinstance(parent, dict):
        parent["surprise"] = 1
    return json.dumps(document).encode()


JSON: tuple[Mutator, ...] = (*ANYWHERE, json_changed, json_changed, json_changed)

_NPY = b"\x93NUMPY\x01\x00"


def npy_forged(data: bytes, rng: np.random.Generator) -> bytes:
    """An npy header that lies about type, order or shape."""
    shapes = (
        "(9, 999999999999)",
        "(9,)",
        "()",
        "(128, 9)",
        "(-9, 128)",
        "(9, 0)",
        "(9, 128, 1)",
        "(" * 5000,
        "(9, 1e9)",
    )
    types = ("<f4", "|O", ">f4", "<f8", "<i2", "|V8", "<f4\\x00", "object")
    shape, kind = shapes[rng.integers(len(shapes))], types[rng.integers(len(types))]
    text = f"{{'descr': '{kind}', 'fortran_order': {rng.random() < 0.3}, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(_NPY) + 2 + len(text) + 1) % 64) + b"\n"
    body = data[-int(rng.integers(1, len(data))) :]
    return _NPY + (len(text) & 0xFFFF).to_bytes(2, "little") + text + body


PAYLOAD: tuple[Mutator, ...] = (*ANYWHERE, npy_forged)


def _block(data: bytes, rng: np.random.Generator) -> int:
    return BLOCK * int(rng.integers(0, max(1, len(data) // BLOCK)))
