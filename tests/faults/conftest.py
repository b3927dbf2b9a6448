"""Every attack is tried once, in one child process, for all tests of what became of it."""

from collections.abc import Sequence

import pytest

from tests.faults import attempts
from tests.faults.watch import Outcome

Outcomes = dict[str, Outcome]


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    root = tmp_path_factory.mktemp("hostile").resolve() / "attempts"
    attempts.prepare(root)
    return attempts.outcomes(root)


def check(outcomes: Outcomes, names: Sequence[str], *, code: str, exit_code: int) -> None:
    """Refused by name, with a fix, without running, writing, connecting or allocating anything."""
    for name in names:
        found = outcomes[name]
        assert (code in found.message, found.exit_code) == (True, exit_code), (name, found)
        assert "Fix: " in found.message, (name, found.message)
        assert found.events == [], name
        assert found.grown_mib < 50, name
        assert found.seconds < 5, name
