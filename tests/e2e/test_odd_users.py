"""Users without a home, a name or a sensible umask: the same bits, or an error that says what to set."""

import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs._ray_token import private_token
from pipeline.errors import EnvironmentFault
from tests.e2e.conftest import command, environment, kindred, result_of
from tests.e2e.namespaces import SHORT

PLACES: dict[str, str] = {
    "home read-only": "HOME=/proc exec",
    "HOME unset": "env -u HOME",
    "umask 000": "umask 000 && exec",
    "umask 077": "umask 077 && exec",
}


@pytest.fixture
def ray_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="k", ignore_cleanup_errors=True) as folder:  # Ray's socket paths are long
        yield Path(folder)


def _shell(start: str, line: list[str], folder: Path, ray_folder: Path) -> subprocess.CompletedProcess[str]:
    home = folder / "home"
    home.mkdir(exist_ok=True)
    given = {**environment(folder), "HOME": str(home), "RAY_TMPDIR": str(ray_folder)}
    return subprocess.run(
        ["sh", "-c", f'{start} "$@"', "sh", *line],
        cwd=folder, env=given, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


@pytest.mark.fault("P25")
@pytest.mark.parametrize("home", ["/proc", "/proc/self/mem"])
def test_a_home_that_cannot_be_written_is_named_with_what_to_set(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", home)

    with pytest.raises(EnvironmentFault, match=r"ENV_HOME.*Fix: set HOME.*RAY_AUTH_TOKEN_PATH") as caught:
        private_token()
    assert caught.value.exit_code == 71


@pytest.mark.fault("P25")
@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_the_token_is_its_owners_alone_whatever_the_umask(
    umask: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    before = os.umask(umask)
    try:
        private_token()
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / ".ray" / "auth_token").stat().st_mode) == 0o600


@pytest.mark.slow
@pytest.mark.fault("P25")
@pytest.mark.parametrize("start", PLACES.values(), ids=PLACES)
def test_training_in_process_ends_in_the_same_bits(
    ingested: Path, tmp_path: Path, ray_folder: Path, start: str
) -> None:
    given = [f"data.path={ingested}/data", *SHORT]
    plain = kindred("pretrain", "out=plain", *given, folder=tmp_path)

    done = _shell(start, command("pretrain", "out=run", *given), tmp_path, ray_folder)

    assert done.returncode == 0, done.stderr
    assert result_of(done)["state_hash"] == result_of(plain)["state_hash"]


@pytest.mark.slow
@pytest.mark.fault("P25")
def test_a_user_without_a_name_ends_in_the_same_bits(ingested: Path, tmp_path: Path, ray_folder: Path) -> None:
    given = [f"data.path={ingested}/data", *SHORT]
    plain = kindred("pretrain", "out=plain", *given, folder=tmp_path)

    done = _shell(
        "env -u USER -u LOGNAME unshare --map-user=12345",
        command("pretrain", "out=run", *given),
        tmp_path, ray_folder,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert result_of(done)["state_hash"] == result_of(plain)["state_hash"]
