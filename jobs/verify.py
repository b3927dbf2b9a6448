"""kindred verify: every byte of an ingested data set against its manifest, or a run against its ledger."""

import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import JsonValue

from jobs._console import Console
from jobs._shard_pool import ShardPool
from jobs.assemble import codecs_of, shards_at
from jobs.data_config import DataConfig
from jobs.verify_run import is_run, verify_run
from pipeline.config import build_config
from pipeline.data.drift import DRIFT_LIMIT, Drift
from pipeline.data.manifest import load_manifest
from pipeline.data.place import parse_place
from pipeline.data.split import SPLITS
from pipeline.data.verify import verify_dataset
from pipeline.errors import ConfigError


def verify(
    dataset: str, overrides: Sequence[str] = (), *, workers: int | None = None, hashes_only: bool = False
) -> dict[str, JsonValue]:
    """Check a run folder (known by its ledger), a data set folder, or a URL as `overrides` of the `data` section allow.

    workers: processes, one per core by default. hashes_only: leave out decoding, statistics and splits.
    Raises Problems naming every damage.
    """
    if is_run(Path(dataset)):
        if overrides or workers or hashes_only:
            raise ConfigError("a run is verified whole, against its own recipe", code="CONFIG_VALUE", field="verify")
        return verify_run(Path(dataset))
    workers = workers or os.cpu_count() or 1
    data = build_config(DataConfig, {"path": dataset}, overrides)
    source = shards_at(parse_place(dataset), data, readers=workers)
    manifest = load_manifest(source.folder)
    codecs = None if hashes_only else codecs_of(source.folder, manifest)
    console = Console()
    with console.progress("verify MB", sum(entry.bytes for entry in manifest.shards) // 10**6) as advance:
        report = verify_dataset(
            source,
            manifest,
            codecs,
            map_shards=ShardPool(min(workers, len(manifest.shards))),
            progress=lambda done: advance(done // 10**6),
        )
    _show_drift(console, report.drifts)
    for stream, number in report.flat.items():
        if number:
            console.line(f"warning: {number} channels of {stream} are constant over the whole training split")
    console.line(f"{source}: {manifest.num_samples} samples in {len(manifest.shards)} shards are whole")
    return {
        "status": "finished",
        "manifest": manifest.sha256,
        "num_samples": manifest.num_samples,
        "num_bytes": report.num_bytes,
        "duplicates": dict[str, JsonValue](report.duplicates),
        "flat": dict[str, JsonValue](report.flat),
        "drift": [
            f"{d.stream} {d.where} {d.channel} {d.shift:+.3f}" for d in report.drifts if abs(d.shift) > DRIFT_LIMIT
        ],
    }


def _show_drift(console: Console, found: Sequence[Drift]) -> None:
    """Splits in a table, shards only where they are far off."""
    shown = [drift for drift in found if drift.where in SPLITS or abs(drift.shift) > DRIFT_LIMIT]
    if shown:
        header = ("stream", "where", "channel", "mean shift / sd")
        cells = [
            (d.stream, d.where, str(d.channel), f"{d.shift:+.3f}{' !' * (abs(d.shift) > DRIFT_LIMIT)}") for d in shown
        ]
        console.table([header, *cells])
    if any(abs(drift.shift) > DRIFT_LIMIT for drift in found):
        console.line(f"warning: means shifted by more than {DRIFT_LIMIT:g} training standard deviations are marked !")
