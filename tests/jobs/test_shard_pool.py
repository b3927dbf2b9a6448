"""A process that checks shards is killed: said at once, and none is left."""

import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from jobs._shard_pool import ShardPool
from pipeline.errors import EnvironmentFault
from tests.wait_for import wait_for


@dataclass(frozen=True)
class HangingCheck:
    """Says which process it runs in, and waits there for ever."""

    folder: Path

    def __call__(self, task: int) -> None:
        (self.folder / str(os.getpid())).touch()
        signal.pause()


@pytest.mark.fault("P02")
def test_a_killed_process_ends_the_check_and_leaves_no_child(tmp_path: Path) -> None:
    killed: list[float] = []

    def kill_one() -> None:
        wait_for(lambda: len(list(tmp_path.iterdir())) == 2)
        killed.append(time.monotonic())
        first = min(int(path.name) for path in tmp_path.iterdir())  # a later one's loss is seen at the next result
        os.kill(first, signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    with pytest.raises(EnvironmentFault, match="ENV_PROCESS") as caught:
        list(ShardPool(2)(HangingCheck(tmp_path), range(2)))  # type: ignore[arg-type]
    killer.join()

    assert caught.value.exit_code == 71
    assert time.monotonic() - killed[0] < 10
    assert not [path.name for path in tmp_path.iterdir() if psutil.pid_exists(int(path.name))]
