"""Uploads of committed checkpoints beside training: one at a time, the newest next, and none fails without a word."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import Fenced, KindredError, Preempted, StorageError
from pipeline.train.checkpoint_mirror import CheckpointMirror

_LAST_CHANCE_S = 60.0  # a machine that is taken away gives its processes half a minute to two minutes
_log = logging.getLogger(__name__)


class BackgroundUpload:
    """Copies checkpoints into a mirror; without one it does nothing.

    Storage that fails is a warning while training goes on, since the next checkpoint is another try. Any other error
    is raised where the next checkpoint is submitted.
    """

    def __init__(self, mirror: CheckpointMirror | None = None) -> None:
        self.mirror = mirror
        self._changed = threading.Condition()
        self._current: Path | None = None
        self._next: Path | None = None
        self._failure: Exception | None = None

    def begin_attempt(self) -> None:
        """Fence off earlier writers of the mirror. Raises as `CheckpointMirror.begin_attempt`."""
        if self.mirror is not None:
            self.mirror.begin_attempt()

    def submit(self, folder: Path) -> None:
        """Upload this checkpoint after the one under way, instead of any that waits. Raises what stopped uploads."""
        if self.mirror is None:
            return
        with self._changed:
            if self._failure is not None and not isinstance(self._failure, StorageError):
                raise self._failure
            if self._current is not None:
                self._next = folder
                return
            self._current, self._failure = folder, None
        # A daemon, so that storage that hangs does not keep a process alive whose training has ended.
        threading.Thread(target=self._run, args=(self.mirror,), name="upload-checkpoints", daemon=True).start()

    def holds(self, folder: Path) -> bool:
        """Whether this checkpoint is still to be read."""
        with self._changed:
            return folder in (self._current, self._next)

    @contextmanager
    def finished(self, stop: Callable[[], bool]) -> Iterator[None]:
        """After the block the newest checkpoint is in the mirror. Raises what kept it from there, or Preempted when
        `stop` asks for an end. Where the block raises an error, its last checkpoint gets a minute at most.
        """
        try:
            yield
        except KindredError as error:
            if not isinstance(error, Fenced) and not self._settled(_LAST_CHANCE_S):
                _log.warning("the last checkpoint is in the run folder alone: its upload takes too long")
            raise
        while not self._settled(0.5):
            if stop():
                message = "stopped before the last checkpoint was in the mirror; it is in the run folder"
                raise Preempted(message, code="PREEMPTED", fix="type the same command again to go on")
        if self._failure is not None:
            raise self._failure

    def _settled(self, limit_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._current is None, limit_s)

    def _run(self, mirror: CheckpointMirror) -> None:
        while (folder := self._current) is not None:
            failure = _try(mirror, folder)
            with self._changed:
                self._failure = failure
                self._current, self._next = self._next, None
                if failure is not None and not isinstance(failure, StorageError):
                    self._current = None
                self._changed.notify_all()


def _try(mirror: CheckpointMirror, folder: Path) -> Exception | None:
    """Why this checkpoint is not in the mirror; None where it is."""
    try:
        mirror.upload(folder)
    except StorageError as error:
        _log.warning("%s is not in the mirror: %s", folder.name, error)
        return error
    except Exception as error:
        return error
    return None
