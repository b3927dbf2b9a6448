"""A step that hangs leaves its stacks and ends the process; one that does not leaves nothing."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.train.watchdog import FACTOR, FIRST_FACTOR, Watchdog

HANGING = """
import sys, threading
from pathlib import Path
from pipeline.train.watchdog import Watchdog

def collective():
    threading.Event().wait()

dog = Watchdog(Path(sys.argv[1]), floor_s=0.2)
for _ in range(3):
    with dog.step():
        pass
with dog.step():
    collective()
"""
ENDING = """
import sys, time
from pathlib import Path
from pipeline.train.watchdog import Watchdog

dog = Watchdog(Path(sys.argv[1]), floor_s=1)
for _ in range(3):
    with dog.step():
        pass
time.sleep(1.5)  # outside a step nothing is watched
"""


@pytest.mark.fault("P10")
def test_a_hanging_step_names_the_line_and_ends_the_process(tmp_path: Path) -> None:
    path = tmp_path / "hangs" / "rank-0.txt"
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", HANGING, str(path)], cwd=Path(__file__).parents[3], timeout=60, check=False
    )

    assert done.returncode == 1
    assert time.monotonic() - started < 30
    assert "in collective" in path.read_text()


def test_steps_that_end_leave_no_stacks(tmp_path: Path) -> None:
    path = tmp_path / "rank-0.txt"
    done = subprocess.run(
        [sys.executable, "-c", ENDING, str(path)], cwd=Path(__file__).parents[3], timeout=60, check=False
    )

    assert done.returncode == 0
    assert path.read_text() == ""


def test_slow_steps_raise_the_limit_and_the_first_has_more(tmp_path: Path) -> None:
    dog = Watchdog(tmp_path / "stacks", floor_s=45)
    first = dog.limit_s
    dog.seconds.extend([1.0, 30.0, 20.0])

    assert first == FIRST_FACTOR * 45
    assert dog.limit_s == pytest.approx(FACTOR * 20)
    dog.seconds.extend([0.1] * 50)
    assert dog.limit_s == 45
