"""A Ray whose daemons are not up in time is started anew, and is a typed error in the end."""

import os
from pathlib import Path

import pytest

from jobs._ray import Workers, launch
from pipeline.errors import ClusterLost

MESSAGE = "The current node timed out during startup. This could happen because some processes failed.\nmore"


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[object]:
    """Calls of a ray.init that fails as Ray's does on a busy machine."""
    calls: list[object] = []

    def late(**given: object) -> None:
        calls.append(given["address"])
        raise Exception(MESSAGE)

    monkeypatch.setattr(os, "environ", {**os.environ, "HOME": str(tmp_path)})
    os.environ.pop("RAY_ADDRESS", None)
    monkeypatch.setattr("ray.init", late)
    return calls


def test_it_is_started_anew_and_then_said_to_be_lost(starts: list[object]) -> None:
    with pytest.raises(ClusterLost, match=r"RAY_START.*timed out during startup") as caught:
        launch(lambda config: None, {}, Workers(1, max_failures=2))

    assert starts == ["local"] * 3
    assert caught.value.exit_code == 75
    assert "more" not in caught.value.message
