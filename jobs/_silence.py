"""Whether the workers of a private Ray give signs of life, from the start of their group to its end.

Ray waits without a limit for the messages by which a group starts and ends: where one is lost, it waits for ever.
"""

import contextlib
import time
from pathlib import Path

from pipeline.errors import ClusterLost

START_S = 240.0
"""Time that the start of a group has at least: on a busy machine, processes load their code for minutes."""
_STOOD_STILL_S = 10.0


class Silence:
    """Call it a few times a second. folder: of the workers' heartbeats; hang_after_s: the recipe's."""

    def __init__(self, folder: Path, hang_after_s: float) -> None:
        self.folder, self.limit_s = folder, max(START_S, hang_after_s)
        self.signs: dict[str, bytes] = {}
        self.looked = self.heard = time.monotonic()

    def __call__(self) -> None:
        """Raises ClusterLost where nothing was heard for too long, and then begins anew."""
        now, signs = time.monotonic(), self._signs()
        stood_still = now - self.looked > _STOOD_STILL_S  # this process, or it was connecting to Ray
        self.looked = now
        if stood_still or signs != self.signs:
            self.signs, self.heard = signs, now
        elif now - self.heard > self.limit_s:
            self.heard = now
            raise ClusterLost(
                f"no worker has given a sign of life for {self.limit_s:g} s",
                code="RAY_SILENT",
                fix="type the same command again: it resumes from the last checkpoint; where workers start more slowly "
                "than that, raise pretrain.hang_after_s above it",
            )

    def _signs(self) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for path in self.folder.glob("rank-*"):
            with contextlib.suppress(OSError):  # no news: storage may refuse for a moment
                found[path.name] = path.read_bytes()
        return found
