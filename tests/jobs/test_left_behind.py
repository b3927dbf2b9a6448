"""A session of a private Ray is cleared away by a process that outlives its driver."""

import subprocess
import sys
from pathlib import Path

import pytest

from jobs._left_behind import ENDED_NAME, KEPT_SESSIONS

KILLED = (
    "import os, signal, sys; from pathlib import Path; from jobs._left_behind import nothing_left_behind\n"
    "with nothing_left_behind(Path(sys.argv[1])): os.kill(os.getpid(), signal.SIGKILL)"
)


def _session(folder: Path, number: int) -> Path:
    made = folder / f"session_2026-01-01_00-00-{number:02}_0_1"
    for name in ("logs", "sockets", "kindred-ray-x"):
        (made / name).mkdir(parents=True)
        (made / name / "file").write_text("x")
    return made


@pytest.mark.fault("C11")
def test_the_logs_of_the_latest_sessions_of_killed_drivers_stay_and_nothing_else_of_ours(tmp_path: Path) -> None:
    foreign = _session(tmp_path, 0)
    made = [_session(tmp_path, number) for number in range(1, KEPT_SESSIONS + 3)]
    (tmp_path / "session_latest").symlink_to(made[-1])

    for session in made:
        with subprocess.Popen([sys.executable, "-c", KILLED, str(session)], stdout=subprocess.PIPE) as driver:
            assert driver.stdout is not None
            driver.stdout.read()  # until the process that clears away has ended: it has the same output

    kept = made[-KEPT_SESSIONS:]
    assert sorted(tmp_path.iterdir()) == [foreign, *kept, tmp_path / "session_latest"]
    assert all({path.name for path in session.iterdir()} == {"logs", ENDED_NAME} for session in kept)
    assert {path.name for path in foreign.iterdir()} == {"logs", "sockets", "kindred-ray-x"}
