"""The header walk agrees with tarfile on good archives and refuses bad ones."""

import io
import tarfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.ustar import BLOCK, walk_members
from pipeline.errors import DataError, KindredError, SecurityError


def archive(sizes: list[int], kind: bytes = tarfile.REGTYPE) -> bytes:
    """A ustar archive of members m0, m1, ... of these sizes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for number, size in enumerate(sizes):
            info = tarfile.TarInfo(f"m{number}.bin")
            info.size, info.type = size, kind
            tar.addfile(info, io.BytesIO(bytes([number % 256]) * size))
    return buffer.getvalue()


@given(st.lists(st.integers(0, 2000), max_size=12))
def test_positions_agree_with_tarfile(sizes: list[int]) -> None:
    whole = archive(sizes)

    members = list(walk_members(memoryview(whole), shard="s"))

    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        assert [(m.name, m.offset, m.size) for m in members] == [(i.name, i.offset_data, i.size) for i in tar]


@pytest.mark.fault("D02", "D03")
def test_a_cut_at_any_block_is_noticed() -> None:
    whole = archive([100, 700, 10])
    end = 2 * BLOCK + 3 * BLOCK + 2 * BLOCK

    for cut in range(0, end + 1, BLOCK):
        with pytest.raises(DataError) as caught:
            list(walk_members(memoryview(whole[:cut]), shard="s"))
        assert caught.value.code == "DATA_TRUNCATED"


def _walk_or_code(data: bytes) -> list[tuple[str, int, int]] | str:
    try:
        return [(m.name, m.offset, m.size) for m in walk_members(memoryview(data), shard="s")]
    except KindredError as error:
        return error.code


@pytest.mark.fault("D05")
def test_a_flipped_header_bit_is_noticed() -> None:
    whole, generator = archive([100, 700, 10]), np.random.default_rng(0)
    good = _walk_or_code(whole)  # still found when the bit is in the checksum field's own padding

    for position in generator.integers(0, BLOCK * 8, 500).tolist():
        flipped = bytearray(whole)
        flipped[position % BLOCK + (0, 2, 5)[position % 3] * BLOCK] ^= 1 << int(generator.integers(8))
        assert _walk_or_code(bytes(flipped)) in ["DATA_TAR", "DATA_TRUNCATED", "SEC_TAR_MEMBER", good]


@pytest.mark.fault("D30")
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE, tarfile.XHDTYPE])
def test_anything_but_plain_files_is_refused(kind: bytes) -> None:
    with pytest.raises(SecurityError) as caught:
        list(walk_members(memoryview(archive([0], kind)), shard="s"))

    assert caught.value.code == "SEC_TAR_MEMBER"


@pytest.mark.fault("D29")
def test_a_negative_size_is_refused() -> None:
    header = bytearray(archive([5]))
    header[124:136] = b"-0000000005\0"
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + sum(header[156:512]) + 256)

    with pytest.raises(DataError) as caught:
        list(walk_members(memoryview(bytes(header)), shard="s"))

    assert caught.value.code == "DATA_TAR"
