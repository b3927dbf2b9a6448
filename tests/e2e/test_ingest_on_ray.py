"""Ingest as Ray tasks: the same bytes as in one process, and a failure that is still ours."""

import os
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from jobs._ray_units import units_on_ray
from pipeline.data.ingest import ingest
from pipeline.data.work_units import Unit
from pipeline.data.write_unit import UnitWriter
from pipeline.errors import Problems
from tests.pipeline.data.folder_digest import digest
from tests.pipeline.data.raw_files_of_a_user import describe, write_raw
from tests.toy_modality import SCHEMAS, make_codec

pytestmark = pytest.mark.ray


def test_ray_tasks_write_the_same_bytes_and_report_the_same_problems(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw", num_records=30)
    description = describe(unit_records=4)
    parts = {"schemas": SCHEMAS, "make_codec": make_codec}

    one = ingest(description, tmp_path / "raw", tmp_path / "one", **parts)
    two = ingest(description, tmp_path / "raw", tmp_path / "two", map_units=units_on_ray(2), **parts)

    assert one == two
    assert digest(tmp_path / "one") == digest(tmp_path / "two")
    np.save(tmp_path / "raw" / "imu" / "r9.npy", np.zeros((20, 5)))
    with pytest.raises(Problems) as caught:
        ingest(description, tmp_path / "raw", tmp_path / "three", map_units=units_on_ray(2), **parts)
    assert [(p.code, p.key) for p in caught.value.problems] == [("DATA_CHANNELS", "r9")]


@dataclass(frozen=True)
class KilledOnce:
    """Writes units; the first process that has written a later one is killed before it says so."""

    write: UnitWriter
    mark: Path

    def __call__(self, unit: Unit) -> int:
        written = self.write(unit)
        if unit.number > 2 and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return written


@pytest.mark.fault("P02")
def test_a_killed_process_of_an_ingest_costs_no_byte(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw", num_records=30)
    description = describe(unit_records=4)
    parts = {"schemas": SCHEMAS, "make_codec": make_codec}

    def killed_once(write: UnitWriter, units: Iterable[Unit]) -> Iterator[int]:
        return units_on_ray(2)(KilledOnce(write, tmp_path / "killed"), units)

    one = ingest(description, tmp_path / "raw", tmp_path / "one", **parts)
    two = ingest(description, tmp_path / "raw", tmp_path / "two", map_units=killed_once, **parts)

    assert (tmp_path / "killed").exists()
    assert one == two
    assert digest(tmp_path / "one") == digest(tmp_path / "two")
