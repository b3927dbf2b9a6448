"""Headers parsed as one array: what `walk_members` gives, or nothing."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.header_blocks import members_at
from pipeline.data.ustar import BLOCK, Member, walk_members
from pipeline.errors import KindredError
from tests.pipeline.data.test_ustar import archive


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file to write archives to."""
    return tmp_path_factory.mktemp("archives") / "a.tar"


def _at_once(path: Path, whole: bytes, places: list[Member]) -> list[Member] | None:
    path.write_bytes(whole)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        offsets, sizes = np.array([m.offset for m in places], np.int64), np.array([m.size for m in places], np.int64)
        return members_at(descriptor, len(whole), offsets, sizes)
    finally:
        os.close(descriptor)


def _walked(whole: bytes) -> list[Member] | str:
    try:
        return list(walk_members(memoryview(whole), shard="s"))
    except KindredError as error:
        return error.code


@given(st.lists(st.integers(0, 2000), min_size=1, max_size=12), st.data())
def test_members_are_those_of_the_walk_though_one_between_two_is_unknown(
    path: Path, sizes: list[int], data: st.DataObject
) -> None:
    whole = archive(sizes)
    members = list(walk_members(memoryview(whole), shard="s"))
    unknown = data.draw(st.integers(0, len(sizes) - 1))

    assert _at_once(path, whole, members) == members
    found = _at_once(path, whole, [m for n, m in enumerate(members) if n != unknown])
    assert found == (members if unknown < len(sizes) - 1 else None)  # where the last one ends nobody knows


def test_a_damaged_header_never_gives_other_members_than_the_walk(path: Path) -> None:
    whole, generator = archive([100, 700, 10]), np.random.default_rng(0)
    members, refused = list(walk_members(memoryview(whole), shard="s")), 0

    for position in generator.integers(0, BLOCK * 8, 2000).tolist():
        flipped = bytearray(whole)
        flipped[position // 8] ^= 1 << position % 8
        found = _at_once(path, bytes(flipped), members)
        refused += found is None
        assert found is None or found == _walked(bytes(flipped))
    assert refused > 1900


@pytest.mark.parametrize("tail", [b"x", bytes(BLOCK * 3) + b"x"])
def test_bytes_behind_the_end_and_a_cut_give_nothing(path: Path, tail: bytes) -> None:
    whole = archive([100, 700, 10])
    members = list(walk_members(memoryview(whole), shard="s"))

    assert _at_once(path, whole, members) == members
    assert _at_once(path, whole + tail, members) is None
    assert _at_once(path, whole[: members[-1].offset + BLOCK], members) is None
    assert _at_once(path, whole, members[1:]) is not None  # the first header is always read
    assert _at_once(path, whole, [Member("", 3 * BLOCK + 7, 5)]) is None
