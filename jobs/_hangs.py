"""Where hanging workers leave their stacks, and what the driver says of them."""

import logging
from pathlib import Path

from pipeline.train.heartbeat import Heartbeat
from pipeline.worker import Worker

_log = logging.getLogger(__name__)


def hang_stacks(folder: Path, rank: int) -> Path:
    """The file to which the worker of this rank adds the stacks of a step that hangs."""
    return folder / "hangs" / f"rank-{rank}.txt"


def heartbeats(folder: Path) -> Path:
    """Where the workers leave their signs of life."""
    return folder / "heartbeats"


def signs_of_life(folder: Path, worker: Worker, after_s: float) -> Heartbeat:
    """Beats of this worker for its peers; folder is the stage's."""
    path = hang_stacks(folder, worker.rank)
    return Heartbeat(heartbeats(folder), rank=worker.rank, world=worker.world, after_s=after_s, path=path)


class Hangs:
    """Warns of each hang once. `folder` is the stage's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sizes = self._now()

    def __call__(self) -> None:
        before, self.sizes = self.sizes, self._now()
        new = sorted(path.stem for path, size in self.sizes.items() if size > before.get(path, 0))
        if new:
            _log.warning(
                "a step hung: %s wrote their stacks to %s; a rank that wrote none is stopped or lost. "
                "The workers restart from the last checkpoint",
                ", ".join(new),
                self.folder / "hangs",
            )

    def _now(self) -> dict[Path, int]:
        return {path: path.stat().st_size for path in (self.folder / "hangs").glob("rank-*.txt")}
