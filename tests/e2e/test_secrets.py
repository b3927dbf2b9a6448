"""Canary secrets go in by every way that people have; none comes out in a file, a database, a log or a message."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.__main__ import main
from tests.e2e.conftest import RECIPE, command, environment

MARK = "kanarie"
SECRETS = {
    "AWS_SECRET_ACCESS_KEY": f"{MARK}01",
    "AWS_SESSION_TOKEN": f"{MARK}02",
    "HF_TOKEN": f"{MARK}03",
    "MLFLOW_TRACKING_PASSWORD": f"{MARK}04",
    "MLFLOW_TRACKING_TOKEN": f"{MARK}05",
    "RAY_AUTH_TOKEN": f"{MARK}06" + "0" * 56,
    "PIP_INDEX_URL": f"https://me:{MARK}07@packages.example/simple",
    "HTTPS_PROXY": f"http://me:{MARK}08@proxy.example:3128",
}
GIVEN = {
    "tracking.uri": f"http://me:{MARK}09@127.0.0.1:1",
    "data.endpoint": f"https://me:{MARK}10@objects.example",
    "data.path": f"https://objects.example/data?X-Amz-Signature={MARK}11",
    "pretrained": f"https://{MARK}12@hub.example/run",
    "pretrain.api_token": f"{MARK}13",
}


@pytest.fixture
def ray_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="k", ignore_cleanup_errors=True) as folder:  # Ray's socket paths are long
        yield Path(folder)


def _run(folder: Path, ray_folder: Path, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    given = {**environment(folder), **SECRETS, "RAY_TMPDIR": str(ray_folder), "HOME": str(folder), **changes}
    line = command("pretrain", "out=run", *arguments)
    return subprocess.run(line, cwd=folder, env=given, capture_output=True, text=True, check=False)


def _leaks(*folders: Path) -> list[str]:
    found = []
    for folder in folders:
        for parent, _, names in os.walk(folder):
            paths = (Path(parent, name) for name in names)
            found += [str(path) for path in paths if path.is_file() and MARK.encode() in path.read_bytes()]
    return found


@pytest.mark.slow
@pytest.mark.ray
def test_secrets_of_the_environment_stay_there(workplace: Path, ray_folder: Path) -> None:
    git = ["git", "-C", str(workplace)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "remote", "add", "origin", f"https://me:{MARK}14@code.example/x.git"], check=True)

    done = _run(workplace, ray_folder, "pretrain.epochs=1", "pretrain.workers=1")

    assert done.returncode == 0, done.stderr
    assert list(ray_folder.rglob("raylet.out")), "Ray's session was looked at"
    assert (workplace / "mlflow.db").stat().st_size
    assert MARK not in done.stdout + done.stderr
    assert _leaks(workplace, ray_folder) == [str(workplace / ".git" / "config")]


@pytest.mark.slow
def test_a_tracking_server_that_fails_does_not_show_its_password(workplace: Path, ray_folder: Path) -> None:
    dead = f"http://me:{MARK}15@127.0.0.1:1/?token={MARK}16"

    done = _run(workplace, ray_folder, "pretrain.epochs=1", MLFLOW_TRACKING_URI=dead)

    assert done.returncode == 0, done.stderr
    assert "not everything was delivered" in done.stderr
    assert MARK not in done.stdout + done.stderr
    assert _leaks(workplace) == []


@pytest.mark.fault("S12")
@pytest.mark.parametrize("key", GIVEN)
def test_a_secret_in_a_recipe_is_refused_without_repeating_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], key: str
) -> None:
    monkeypatch.chdir(tmp_path)

    assert main(["pretrain", str(RECIPE), "out=run", f"{key}={GIVEN[key]}", "--json"]) == 64

    out, err = capfd.readouterr()
    assert key in err
    assert MARK not in out + err
    assert list(tmp_path.iterdir()) == []
