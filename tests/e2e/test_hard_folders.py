"""Run folders that are read-only, full or strangely named, and few descriptors: said before training, or no matter."""

import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import command, environment, kindred, result_of
from tests.e2e.namespaces import MOUNTS, SHORT, permitted, pretrain_after

needs_mounts = pytest.mark.skipif(not permitted(MOUNTS), reason="user namespaces are not permitted here")


def _after(shell: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return pretrain_after(shell, *arguments, kind=MOUNTS, folder=folder, timeout=120)


@needs_mounts
@pytest.mark.fault("C08")
def test_a_read_only_folder_is_refused_before_training(ingested: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()

    done = _after(
        "mount --bind run run && mount -o remount,bind,ro run",
        "out=run", f"data.path={ingested}/data", *SHORT,
        folder=tmp_path,
    )  # fmt: skip

    assert done.returncode == 73, done.stderr
    assert "OUT_READONLY" in done.stderr
    assert "Fix: " in done.stderr
    assert list((tmp_path / "run").iterdir()) == []


@needs_mounts
@pytest.mark.slow
@pytest.mark.fault("C04")
def test_a_full_disk_is_refused_before_training(ingested: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()

    done = _after(
        "mount -t tmpfs -o size=128k tmpfs run", "out=run", f"data.path={ingested}/data", *SHORT, folder=tmp_path
    )

    assert done.returncode == 74, done.stderr
    assert all(part in done.stderr for part in ("IO_NO_SPACE", "expected=", "got=", "Fix: free"))


@needs_mounts
@pytest.mark.slow
@pytest.mark.fault("C04")
def test_a_disk_that_fills_in_mid_run_names_the_checkpoint_it_refused(ingested: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    trained = "until ls run/pretrain/checkpoints/step-*; do sleep 0.01; done"
    fill = f"{trained}; while sleep 0.01; do cat /dev/zero >>run/all; done"
    done = _after(
        f"mount -t tmpfs -o size=6m tmpfs run && {{ timeout 60 sh -c '{fill}' >/dev/null 2>&1 & }}",
        "out=run", f"data.path={ingested}/data", "pretrain.workers=0", "pretrain.checkpoint_every=1",
        folder=tmp_path,
    )  # fmt: skip

    assert done.returncode == 74, done.stderr
    assert "kindred: IO_CHECKPOINT: could not save step-" in done.stderr


@needs_mounts
@pytest.mark.slow
@pytest.mark.fault("C10")
def test_little_shared_memory_is_refused_before_ray_starts(ingested: Path, tmp_path: Path) -> None:
    done = _after(
        "mount -t tmpfs -o size=8m tmpfs /dev/shm",
        "out=run", f"data.path={ingested}/data", "pretrain.workers=2", *SHORT,
        folder=tmp_path,
    )  # fmt: skip

    assert done.returncode == 71, done.stderr
    assert all(part in done.stderr for part in ("ENV_SHM", "expected=>= 128 MiB", "got=8 MiB", "--shm-size=256m"))


@pytest.mark.slow
@pytest.mark.fault("C12")
def test_too_few_descriptors_are_refused_before_training(ingested: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", 'ulimit -n 64 && exec "$@"', "sh", *command("pretrain", f"data.path={ingested}/data", *SHORT)],
        cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 74, done.stderr
    assert all(part in done.stderr for part in ("ulimit -n", "expected=", "got=64"))


@pytest.mark.slow
@pytest.mark.fault("C09")
def test_strangely_named_folders_end_in_the_same_bits(ingested: Path, tmp_path: Path) -> None:
    plain = kindred("pretrain", "out=plain", f"data.path={ingested}/data", *SHORT, folder=tmp_path)
    strange = tmp_path / "датчик #1?{a}%20"
    strange.mkdir()
    (strange / "data").symlink_to(ingested / "data")

    done = kindred("pretrain", f"out={strange}/run:1", f"data.path={strange}/data", *SHORT, folder=tmp_path)

    assert done.returncode == 0, done.stderr
    assert result_of(done)["state_hash"] == result_of(plain)["state_hash"]
