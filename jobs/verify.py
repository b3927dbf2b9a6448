"""kindred verify: every byte of an ingested data set against its manifest."""

from pathlib import Path

from pydantic import JsonValue

from jobs._console import Console
from pipeline.data.manifest import load_manifest
from pipeline.data.verify import verify_shards


def verify(folder: Path) -> dict[str, JsonValue]:
    """Raises Problems naming every damaged shard, key and stream."""
    manifest = load_manifest(folder)
    with Console().progress("verify", len(manifest.shards)) as advance:
        verify_shards(folder, manifest, progress=lambda done, total: advance(done))
    Console().line(f"{folder}: {manifest.num_samples} samples in {len(manifest.shards)} shards are whole")
    return {"status": "finished", "manifest": manifest.sha256, "num_samples": manifest.num_samples}
