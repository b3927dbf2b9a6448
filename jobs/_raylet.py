"""Whether the raylet that this process started still lives.

Ray's object store is inside of it: where it is gone, Ray ends this process with exit code 1 and without a word, as soon
as something is to be stored. This notices before.
"""

import psutil

from pipeline.errors import ClusterLost


class Raylet:
    """The living one among the children of this process; nothing on a cluster that others started."""

    def __init__(self) -> None:
        self.found = [child for child in psutil.Process().children() if child.name() == "raylet" and _lives(child)]

    def __call__(self) -> None:
        """Raises ClusterLost where it has ended."""
        if not all(map(_lives, self.found)):
            raise ClusterLost(
                "Ray's daemon on this machine (raylet) has ended",
                code="RAY_LOST",
                fix="type the same command again: it resumes from the last checkpoint; see Ray's logs for why it ended",
            )


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() not in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
    except psutil.NoSuchProcess:
        return False
