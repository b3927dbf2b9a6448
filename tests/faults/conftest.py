"""Attacks, tried once in one child process for all tests of what became of them; and checkpoints to be damaged."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.train.checkpoint_store import CheckpointStore
from tests.faults import attempts
from tests.faults.checkpoint_crash import parts
from tests.faults.watch import Outcome

Outcomes = dict[str, Outcome]


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    root = tmp_path_factory.mktemp("hostile").resolve() / "attempts"
    attempts.prepare(root)
    return attempts.outcomes(root)


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    """Checkpoints of steps 1 and 2."""
    made = CheckpointStore(tmp_path / "checkpoints")
    made.begin_attempt()
    for step in (1, 2):
        made.save(step, parts(step), {"step": step})
    return made


def check(outcomes: Outcomes, names: Sequence[str], *, code: str, exit_code: int) -> None:
    """Refused by name, with a fix, without running, writing, connecting or allocating anything."""
    for name in names:
        found = outcomes[name]
        assert (code in found.message, found.exit_code) == (True, exit_code), (name, found)
        assert "Fix: " in found.message, (name, found.message)
        assert found.events == [], name
        assert found.grown_mib < 50, name
        assert found.seconds < 5, name
