"""Checkpoints in strangely named folders and with few descriptors."""

import contextlib
import os
import resource
from pathlib import Path

import pytest
import torch

from pipeline.errors import StorageError
from pipeline.train.checkpoint_store import CheckpointStore
from pipeline.train.fit import FitResult
from pipeline.train.loop import run_fit
from tests.faults.checkpoint_crash import parts
from tests.pipeline.train import test_loop


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> FitResult:
    """The run in a folder of a usual name."""
    torch.set_num_threads(1)
    return run_fit(test_loop.make_fit(tmp_path_factory.mktemp("plain")))


@pytest.mark.fault("C09")
@pytest.mark.parametrize("name", ["датчик #1? {a}%20:", "-rf *", "a\nb", " ", "\x1b[2J", "n" * 255, "é" * 127])
def test_strange_folder_names_change_nothing(tmp_path: Path, plain: FitResult, name: str) -> None:
    assert run_fit(test_loop.make_fit(tmp_path / name)).state_hash == plain.state_hash
    assert run_fit(test_loop.make_fit(tmp_path / name)).state_hash == plain.state_hash


@pytest.mark.fault("C09")
def test_a_linked_folder_is_the_folder(tmp_path: Path, plain: FitResult) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")

    assert run_fit(test_loop.make_fit(tmp_path / "link")).state_hash == plain.state_hash
    assert CheckpointStore(tmp_path / "real").steps() == [14, 15]


@pytest.mark.fault("C09")
@pytest.mark.parametrize("name", ["n" * 256, "/".join(["n" * 200] * 21)])
def test_too_long_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StorageError, match=r"IO_CHECKPOINT.*File name too long"):
        CheckpointStore(tmp_path / name).begin_attempt()


@pytest.mark.fault("C12")
@pytest.mark.parametrize("num", [50, pytest.param(1000, marks=pytest.mark.slow)])
def test_checkpoints_leave_no_descriptor_open(store: CheckpointStore, num: int) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for step in range(3, 3 + num):
        store.save(step, parts(step), {"step": step})
        store.newest()

    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.fault("C12")
def test_too_few_descriptors_are_named(store: CheckpointStore) -> None:
    limits, taken = resource.getrlimit(resource.RLIMIT_NOFILE), []
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 1, limits[1]))
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(0))
        with pytest.raises(StorageError, match=r"Too many open files.*ulimit -n"):
            store.save(3, parts(3), {"step": 3})
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in taken:
            os.close(descriptor)

    assert store.steps() == [1, 2]
