"""The shards that a pretraining was started on, kept in its folder: other ones are refused by name."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from jobs._run_folder import read_json, write_json
from pipeline.data.manifest import Manifest
from pipeline.errors import CheckpointError

SHARDS_NAME = "shards.json"
_SHOWN = 8


def shards_of(manifests: Sequence[Manifest]) -> dict[str, str]:
    """Shard -> sha256, of one data set or, numbered, of a mixture."""
    many = len(manifests) > 1
    return {
        f"{number}/{shard.name}" if many else shard.name: shard.sha256
        for number, manifest in enumerate(manifests)
        for shard in manifest.shards
    }


def keep_shards(folder: Path, manifests: Sequence[Manifest]) -> None:
    """Record them; training is about to start or to go on with them."""
    write_json(folder / SHARDS_NAME, shards_of(manifests))


def refuse_other_shards(folder: Path, manifests: Sequence[Manifest]) -> None:
    """Raises CheckpointError RESUME_DATA where a pretraining that has trained would go on with other shards."""
    earlier = read_json(folder / SHARDS_NAME)
    if earlier is None or not next(folder.rglob("step-*"), None):
        return
    changes = _changes(earlier, shards_of(manifests))
    if any(changes.values()):
        raise CheckpointError(
            f"{folder} was trained on another data set: "
            + "; ".join(f"{what} {_brief(names)}" for what, names in changes.items() if names),
            code="RESUME_DATA",
            field="data.path",
            got={what: names[:_SHOWN] for what, names in changes.items()},
            fix="restore the data set, choose another out=DIR, or start anew with --fork NAME",
        )


def _changes(earlier: Mapping[str, object], now: Mapping[str, object]) -> dict[str, list[str]]:
    return {
        "added": sorted(now.keys() - earlier.keys()),
        "removed": sorted(earlier.keys() - now.keys()),
        "changed": sorted(name for name in now.keys() & earlier.keys() if now[name] != earlier[name]),
    }


def _brief(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
