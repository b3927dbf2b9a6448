"""Five leaks planted in small data sets: the audit finds each, says which it is, and is silent on clean ones."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pipeline.errors import KindredError
from tests.jobs.planted_leaks import (
    Plant,
    audit,
    audited,
    captions_that_name_the_class,
    folders_that_name_the_class,
    ingested,
    leave_alone,
    near_copies,
    one_subject_on_both_sides,
    overlapping_windows,
    statistics_of_everything,
)

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _threads_as_they_were() -> Iterator[None]:
    deterministic, threads = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    yield
    torch.use_deterministic_algorithms(deterministic)
    torch.set_num_threads(threads)


def only(problems: list[KindredError]) -> KindredError:
    """All that was found, by both stages, is one kind of problem."""
    assert len({(type(p), p.code, p.field) for p in problems}) == 1, [str(p) for p in problems]
    assert problems[0].exit_code == 65
    return problems[0]


@pytest.mark.parametrize(
    ("plant", "overrides", "field", "named"),
    [
        (one_subject_on_both_sides, [], "subject", "s002"),
        (overlapping_windows, ["subject=null"], "start_ns", "again"),
        (near_copies, [], "content", "s004-d0004-e0000 (test) ~ s000-d0000-e0000 (train)"),
        (captions_that_name_the_class, [], "note", "the words of note name the label"),
    ],
)
def test_a_planted_leak_is_refused_by_name(
    tmp_path: Path, plant: Plant, overrides: list[str], field: str, named: str
) -> None:
    found = only(audited(tmp_path, plant=plant, overrides=overrides).problems)

    assert (found.code, found.field) == ("LEAK", field)
    assert named in str(found)


def test_statistics_with_test_samples_are_refused(tmp_path: Path) -> None:
    context = ingested(tmp_path, seed=0, plant=leave_alone, overrides=[])
    statistics_of_everything(tmp_path / "data", "imu")

    found = only(audit(context).problems)

    assert (found.code, found.field) == ("DATA_STATISTICS", "imu")
    assert "statistics belong to the training split only" in str(found)


def test_metadata_that_name_the_class_are_a_warning(tmp_path: Path) -> None:
    found = audited(tmp_path, plant=folders_that_name_the_class)

    assert (found.problems, found.warnings) == ([], ["metadata predicts the label above chance"])


def test_a_declared_caption_is_no_leak(tmp_path: Path) -> None:
    found = audited(tmp_path, plant=captions_that_name_the_class, overrides=["leak.allow=[note]"])

    assert found.problems == []


@pytest.mark.parametrize("seed", range(20))
def test_a_clean_data_set_raises_no_alarm(tmp_path: Path, seed: int) -> None:
    found = audited(tmp_path, seed=seed)

    assert ([str(p) for p in found.problems], found.warnings) == ([], [])
