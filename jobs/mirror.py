"""The mirror of a run's checkpoints, as the recipe names it."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from pydantic import JsonValue

from pipeline.data.ledger import LEDGER_NAME
from pipeline.data.place import DatasetUrl, parse_place
from pipeline.data.plan import Order
from pipeline.data.remote_folder import RemoteFolder
from pipeline.train.checkpoint_mirror import CheckpointMirror
from pipeline.train.checkpoint_store import CheckpointStore
from pipeline.train.mirror_config import MirrorConfig
from pipeline.train.mirror_resume import fetch_newest
from pipeline.train.run_ledger import complete_ledger, ledger_header


def mirror_of(config: MirrorConfig | None, folder: Path, identity: Mapping[str, JsonValue]) -> CheckpointMirror | None:
    """The mirror of the stage in `folder`, which is found again by the names of run folder and stage."""
    if config is None:
        return None
    place = parse_place(config.path)
    assert isinstance(place, DatasetUrl)  # noqa: S101 - checked by the configuration
    run, stage = folder.resolve().parent.name, folder.name
    url = dataclasses.replace(place, path=f"{place.path}/{quote(run, safe='')}/{stage}")
    remote = RemoteFolder(url, config.allowed_hosts, config.endpoint, config.io_timeout_s, section="pretrain.mirror")
    return CheckpointMirror(remote, identity)


def resume_from_mirror(mirror: CheckpointMirror | None, folder: Path, order: Order, batch_size: int) -> None:
    """Bring checkpoint and ledger into the folder of a stage that the mirror knows more of.

    Raises CheckpointError, StorageError, SecurityError.
    """
    if mirror is None:
        return
    header = ledger_header(batch_size, mirror.identity)
    store = CheckpointStore(folder / "checkpoints")
    fetch_newest(store, mirror, lambda found: complete_ledger(folder / LEDGER_NAME, header, found, order))
