"""What a worker leaves for its driver keeps its type, and is of its own command alone."""

from pathlib import Path

from jobs._worker_errors import WorkerErrors
from pipeline.errors import DataError, Fenced, Problems


def test_an_error_keeps_its_type_and_fields_and_the_lowest_rank_speaks(tmp_path: Path) -> None:
    command = WorkerErrors(tmp_path, "a")
    command.leave(1, Fenced("later", code="CKPT_FENCED"))
    command.leave(0, DataError("no file", code="DATA", field="imu", got=[1, 2], fix="restore it"))

    found = command.first()

    assert type(found) is DataError
    assert found.record() == DataError("no file", code="DATA", field="imu", got=[1, 2], fix="restore it").record()


def test_several_problems_come_back_together(tmp_path: Path) -> None:
    problems = Problems([DataError("one", code="A"), DataError("two", code="B")])
    WorkerErrors(tmp_path, "a").leave(0, problems)

    found = WorkerErrors(tmp_path, "a").first()

    assert isinstance(found, Problems)
    assert found.record() == problems.record()


def test_a_worker_of_an_earlier_command_that_still_lives_is_no_error_of_the_later(tmp_path: Path) -> None:
    earlier, later = WorkerErrors(tmp_path, "a"), WorkerErrors(tmp_path, "b")
    earlier.leave(0, Fenced("replaced", code="CKPT_FENCED"))

    later.forget()
    earlier.leave(0, Fenced("replaced", code="CKPT_FENCED"))

    assert later.first() is None


def test_an_error_that_the_disk_does_not_take_is_left_to_its_worker(tmp_path: Path) -> None:
    (tmp_path / "errors").write_text("")  # no folder can be made there

    assert not WorkerErrors(tmp_path, "a").leave(0, DataError("no file", code="DATA"))
