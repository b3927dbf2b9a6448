import os
import re
import subprocess
from pathlib import Path

import pytest

from jobs._provenance import provenance


def test_the_commit_is_the_one_checked_out() -> None:
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent, check=False
    )
    if done.returncode:
        pytest.skip("not a git checkout")

    assert provenance()["mlflow.source.git.commit"] == done.stdout.strip()


def test_versions_and_machine_are_there() -> None:
    found = provenance()

    assert re.fullmatch(r"2\.\d+\.\d+.*", found["version.torch"])
    assert found["system.cpu_count"] == str(os.cpu_count())


def test_without_git_the_commit_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert not [name for name in provenance() if "git" in name]
