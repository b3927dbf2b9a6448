"""A file that is being written is not there yet, and what failed leaves the one before."""

from pathlib import Path

import pytest

from pipeline.data.durable import durable_file, write_durably


def test_a_file_takes_its_name_when_it_is_whole(tmp_path: Path) -> None:
    with durable_file(tmp_path / "table") as file:
        file.write(b"half")
        assert not (tmp_path / "table").exists()

    assert [path.name for path in tmp_path.iterdir()] == ["table"]
    assert (tmp_path / "table").read_bytes() == b"half"


def _fail_half_way(path: Path) -> None:
    with durable_file(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt


def test_what_fails_half_way_leaves_the_file_before_it_alone(tmp_path: Path) -> None:
    write_durably(tmp_path / "table", b"before")

    with pytest.raises(KeyboardInterrupt):
        _fail_half_way(tmp_path / "table")

    assert [path.name for path in tmp_path.iterdir()] == ["table"]
    assert (tmp_path / "table").read_bytes() == b"before"
