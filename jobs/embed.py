"""kindred embed: embeddings of a whole data set as Parquet files, by Ray Data in processes that read the shards."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, JsonValue, field_validator

from jobs._console import Console
from jobs._ray_data import embed_on_ray
from jobs._run_folder import RunFolder, differences, read_json, write_json
from jobs.embedder import Embedder, EmbedPlan
from jobs.finished_run import finished_run
from modalities.spec import Config
from pipeline.config import build_config, to_json
from pipeline.data.place import absolute, parse_place
from pipeline.errors import OutputError

Result = dict[str, JsonValue]
IDENTITY, RESULT = "identity.json", "result.json"


class EmbedConfig(Config):
    """What may follow the run on the command line."""

    dataset: str | None = Field(default=None, min_length=1)
    """Folder of an ingested data set, or its URL; None means the run's own."""
    out: str | None = Field(default=None, min_length=1)
    """Folder of the Parquet files; None means `embed` in the run folder."""
    workers: int = Field(default=2, ge=1)
    """Processes that encode."""
    rows: int = Field(default=4096, ge=1, le=1_000_000)
    """Samples of one Parquet file."""

    @field_validator("dataset")
    @classmethod
    def _known_place(cls, dataset: str | None) -> str | None:
        if dataset is not None:
            parse_place(dataset)
        return dataset


def embed(target: str, overrides: Sequence[str] = ()) -> Result:
    """Write one Parquet file per `rows` samples; the same command keeps those that are whole and makes the others.

    target: recipe, run folder or MLflow run id. Raises ConfigError, DataError, CheckpointError, OutputError.
    """
    config = build_config(EmbedConfig, {}, overrides)
    recipe, run = finished_run(target)
    own = recipe.model_copy(update={"out": str(run.path.resolve())}).absolute()
    data = {} if config.dataset is None else {"path": str(absolute(parse_place(config.dataset))), "mix": None}
    other = own.model_copy(update={"data": own.data.model_copy(update=data)})
    out = RunFolder(Path(config.out) if config.out else run.path / "embed")
    with out.locked():
        plan = EmbedPlan(to_json(own), to_json(other), str(out.path.resolve()), config.rows)
        embedder = Embedder(plan)
        identity: Result = {"encoders_and_data": embedder.hash, "rows": config.rows}
        _claim(out.path, identity)
        embedder.transfer.show(Console())
        todo = [start for start in embedder.starts() if not plan.part(start).exists()]
        total = embedder.dataset.manifest.num_samples
        with Console().progress("embed", total) as advance:
            done = total - sum(map(embedder.count, todo))

            def written(count: int) -> None:
                nonlocal done
                done += count
                advance(done)

            embed_on_ray(plan, todo, workers=config.workers, written=written)
        result: Result = {**identity, "num_samples": total, "files": len(embedder.starts())}
        write_json(out.path / RESULT, result)
    Console().line(f"embeddings: {out.path}/part-*.parquet, {total} samples")
    return {"status": "finished", "path": str(out.path), **result}


def _claim(folder: Path, identity: Result) -> None:
    """Raises OutputError for a folder that holds embeddings of other encoders or data."""
    earlier = read_json(folder / IDENTITY)
    if earlier is not None and (changed := differences(earlier, identity)):
        raise OutputError(
            f"{folder} holds embeddings of something else: {'; '.join(changed)}",
            code="OUT_OTHER",
            field=changed[0].split(":")[0],
            fix="choose another out=DIR, or delete the folder",
        )
    write_json(folder / IDENTITY, identity)
