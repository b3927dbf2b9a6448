"""kill -9 and the machine gone: the same command on an empty one ends in the state and ledger of an undisturbed run."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import kill_when, kindred, result_of, verify_run
from tests.s3_server import CREDENTIALS, S3Server, s3_server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture(scope="module")
def undisturbed(ingested: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[object, object]:
    folder = tmp_path_factory.mktemp("undisturbed")
    return _ends(kindred("pretrain", f"out={folder}/run", f"data.path={ingested}/data", folder=folder))


def _ends(done: object) -> tuple[object, object]:
    result = result_of(done)  # type: ignore[arg-type]
    assert result["status"] == "finished", result
    return result["state_hash"], result["ledger_sha256"]


def _mirror(s3: S3Server, folder: str) -> list[str]:
    return [
        f"pretrain.mirror.path=s3://bucket/{folder}",
        f"pretrain.mirror.endpoint={s3.url}",
        "pretrain.mirror.allowed_hosts=[127.0.0.1]",
    ]


def _whole(s3: S3Server, folder: str) -> int:
    return len([name for name in s3.names(f"{folder}/run/pretrain/") if name.endswith("MANIFEST.json")])


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.ray)])
def test_a_new_machine_goes_on_from_the_mirror(
    s3: S3Server,
    workplace: Path,
    undisturbed: tuple[object, object],
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    folder = f"workers-{workers}"
    given = ["out=run", f"pretrain.workers={workers}", *_mirror(s3, folder)]
    killed = kill_when("pretrain", *given, folder=workplace, ready=lambda: _whole(s3, folder) >= 2)
    assert killed.returncode == -signal.SIGKILL
    for lost in ("pretrain", "tracking"):
        shutil.rmtree(workplace / "run" / lost)

    done = kindred("pretrain", *given, folder=workplace)

    assert done.returncode == 0, done.stderr
    assert "fetched from s3://bucket" in done.stderr
    assert _ends(done) == undisturbed
    assert verify_run("run", folder=workplace).returncode == 0
    assert _whole(s3, folder) == 2


def test_a_mirror_that_cannot_be_written_is_refused_before_the_first_step(
    s3: S3Server, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    nowhere = ["out=run", "pretrain.mirror.path=s3://nowhere/x", *_mirror(s3, "x")[1:]]
    unnamed = ["out=run", "pretrain.mirror.path=s3://bucket/x", f"pretrain.mirror.endpoint={s3.url}"]

    for given, code in ((nowhere, 74), (unnamed, 77)):
        done = kindred("pretrain", *given, folder=workplace)
        assert done.returncode == code, done.stderr
        assert "pretrain.mirror" in done.stderr
    assert list((workplace / "run" / "pretrain").rglob("step-*")) == []
