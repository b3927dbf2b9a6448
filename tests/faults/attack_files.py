"""Files that try to run code or to take all memory, as bytes."""

import gzip
import io
import itertools
import pickle  # noqa: TID251 - what must never be loaded
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

BOMB_BYTES = 400_000_000


class Canary:
    """Touches a file when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("canary"),))


def canary() -> bytes:
    """A pickle that touches a file."""
    return pickle.dumps(Canary())


def object_npy() -> bytes:
    """An npy file of a pickled object."""
    file = io.BytesIO()
    np.save(file, np.array([[Canary()]], dtype=object), allow_pickle=True)
    return file.getvalue()


def object_npz() -> bytes:
    """An npz file of a pickled object."""
    file = io.BytesIO()
    np.savez(file, x=np.array([[Canary()]], dtype=object))
    return file.getvalue()


def huge_npy() -> bytes:
    """An npy header that promises 4 TB."""
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 333333333333), }"
    text += b" " * (-(10 + len(text) + 1) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(192)


def npz_bomb() -> bytes:
    """A few hundred kilobytes that become 400 MB."""
    file = io.BytesIO()
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (BOMB_BYTES // 8, 2)}
    )
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x.npy", "w", force_zip64=True) as out,
    ):
        out.write(header.getvalue())
        for _ in range(BOMB_BYTES // 4_000_000):
            out.write(bytes(4_000_000))
    return file.getvalue()


def write_tgz_bomb(path: Path) -> None:
    """A gzip file of zeros, named like a plain archive."""
    with gzip.open(path, "wb") as out:
        for _ in range(BOMB_BYTES // 4_000_000):
            out.write(bytes(4_000_000))


def png_bomb(width: int, height: int) -> bytes:
    """A valid 1-bit PNG: a few kilobytes that decode to width x height pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    rows = zlib.compress(bytes(height * (1 + (width + 7) // 8)), 9)
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def alias_bomb() -> str:
    """YAML that would be a list of 10^9 entries."""
    levels = "abcdefghij"
    lines = [f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]" for old, new in itertools.pairwise(levels)]
    return "\n".join(["a: &a [x, x, x, x, x, x, x, x, x, x]", *lines])
