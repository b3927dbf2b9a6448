"""A machine without the newest checkpoint of its run gets it from the mirror."""

import logging
from collections.abc import Callable

from pipeline.errors import CheckpointError
from pipeline.train.checkpoint import Checkpoint
from pipeline.train.checkpoint_mirror import CheckpointMirror
from pipeline.train.checkpoint_store import CheckpointStore

_log = logging.getLogger(__name__)


def fetch_newest(store: CheckpointStore, mirror: CheckpointMirror, prepare: Callable[[Checkpoint], None]) -> None:
    """Commit the mirror's newest valid checkpoint to the store where that has none as new.

    `prepare` makes what else the run folder must hold for a checkpoint before it is there. Raises CheckpointError where
    there are checkpoints and none is valid, StorageError, SecurityError.
    """
    store.begin_attempt()
    mirror.begin_attempt()
    local = _newest_step(store)
    newer = [place for place in mirror.checkpoints() if place.step > local]
    for place in newer:
        try:
            store.commit(place.step, lambda folder, place=place: prepare(mirror.fetch(place, folder)))
        except CheckpointError as error:
            _log.warning("checkpoint of the mirror skipped: %s", error)
        else:
            _log.info("checkpoint of step %d fetched from %s", place.step, mirror.remote.url)
            return
    if newer and local < 0:
        raise CheckpointError(
            f"none of {len(newer)} checkpoints in {mirror.remote.url} is valid",
            code="CKPT_NONE_VALID",
            fix="restore one from a backup, or start anew with --fork NAME",
        )


def _newest_step(store: CheckpointStore) -> int:
    try:
        newest = store.newest()
    except CheckpointError:  # all are damaged: the mirror may have a whole one
        return -1
    return -1 if newest is None else newest.step
