"""Stores and mirrors of a toy run in a bucket."""

from pathlib import Path

from pipeline.data.download import Retries
from pipeline.data.place import DatasetUrl
from pipeline.data.remote_folder import RemoteFolder
from pipeline.train.background_upload import BackgroundUpload
from pipeline.train.checkpoint_mirror import CheckpointMirror
from pipeline.train.checkpoint_store import CheckpointStore
from tests.faults.checkpoint_crash import parts

FAST = Retries(tries=2, first_wait_s=0.001, longest_wait_s=0.002)
IDENTITY = {"seed": 0}


def mirror_at(url: str, name: str, identity: dict[str, int] | None = None) -> CheckpointMirror:
    """The mirror in the folder `name` of the bucket behind `url`."""
    remote = RemoteFolder(DatasetUrl("s3", "bucket", None, f"/{name}"), ("127.0.0.1",), url, 5.0, section="mirror")
    return CheckpointMirror(remote, IDENTITY if identity is None else identity, retries=FAST)


def store_at(folder: Path, mirror: CheckpointMirror | None = None) -> CheckpointStore:
    """A store whose attempt has begun."""
    store = CheckpointStore(folder, uploads=BackgroundUpload(mirror))
    store.begin_attempt()
    return store


def save(store: CheckpointStore, step: int) -> Path:
    """A checkpoint that tells its step."""
    return store.save(step, parts(step), {"step": step, "identity": dict(IDENTITY)})
