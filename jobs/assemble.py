"""From a recipe to the parts the pipeline works with: data set, codecs, modalities, order, task."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import platformdirs
import torch
from pydantic import JsonValue, TypeAdapter, ValidationError

from jobs.configs import Recipe
from jobs.data_config import DataConfig
from modalities.catalogue import AnySchema, AnyStream, codec_for
from modalities.draws import derive_seed
from modalities.spec import Codec, Modality, Statistics
from pipeline.config import to_json
from pipeline.data.concatenated import ConcatenatedReader
from pipeline.data.index import Index, load_index
from pipeline.data.manifest import Manifest, StreamEntry, load_manifest, stream_folder
from pipeline.data.place import DatasetUrl
from pipeline.data.read import ShardReader
from pipeline.data.remote_dataset import CacheConfig, connect
from pipeline.data.remote_folder import RemoteFolder
from pipeline.data.shard_source import LocalShards, ShardSource, shard_source
from pipeline.data.verify import damaged_fitted_files
from pipeline.errors import ConfigError, DataError, Problems
from pipeline.relations.edge_rows import edge_file_hashes
from pipeline.train.named_objectives import name_objectives
from pipeline.train.pretraining import Pretraining
from pipeline.train.surroundings import Surroundings
from pipeline.types import Batch


@dataclass(frozen=True)
class Dataset:
    """An ingested data set opened for reading.

    By stream: schemas and statistics of what encoders read, and fitted, the folder of the files that its codec learned.
    aliases: further streams, name -> stream that the data set stores.
    """

    source: ShardSource
    manifest: Manifest
    index: Index
    schemas: dict[str, AnySchema]
    statistics: dict[str, Statistics]
    fitted: dict[str, Path]
    reader: ShardReader
    aliases: Mapping[str, str] = field(default_factory=dict)

    def entry(self, stream: str) -> StreamEntry:
        """What the manifest says of a stream, or of the one that it is an alias of."""
        return self.manifest.streams[self.aliases.get(stream, stream)]

    def fitted_files(self, stream: str) -> dict[str, str]:
        """Path below `fitted` -> sha256 of the files that a stream's codec learned on this data set."""
        stored = stream_folder(self.folder, self.aliases.get(stream, stream))
        files = self.entry(stream).files
        return {(self.folder / path).relative_to(stored).as_posix(): digest for path, digest in files.items()}

    @property
    def folder(self) -> Path:
        """Where manifest, index and fitted files are on this machine."""
        return self.source.folder


def source_of(recipe: Recipe, place: Path | DatasetUrl | None = None) -> ShardSource:
    """The shards of the recipe's data set, or of another place by the recipe's rules for remote data.

    Raises DataError, SecurityError, StorageError, StorageUnavailable for a place that is a URL.
    """
    threads = max(1, recipe.pretrain.workers) * recipe.pretrain.readers
    return shards_at(recipe.place if place is None else place, recipe.data, readers=threads)


def shards_at(place: Path | DatasetUrl, data: DataConfig, *, readers: int = 1) -> ShardSource:
    """Shards in a folder or behind a URL; `readers` threads of this machine read them."""
    if isinstance(place, Path):
        return LocalShards(place)
    remote = RemoteFolder(place, data.allowed_hosts, data.endpoint, data.io_timeout_s)
    folder = platformdirs.user_cache_path("kindred") if data.cache is None else Path(data.cache).expanduser()
    return connect(remote, CacheConfig(folder, int(data.cache_gib * (1 << 30)), readers))


def open_dataset(place: ShardSource | Path, aliases: Mapping[str, str] | None = None) -> Dataset:
    """Open a data set; a folder stands for the shards in it. aliases: of the recipe.

    Raises DataError where it is missing or damaged, ConfigError for an alias of a stream that it has not.
    """
    source = shard_source(place)
    folder = source.folder
    manifest = load_manifest(folder)
    index = load_index(folder, manifest)
    if damaged := damaged_fitted_files(folder, manifest.streams):
        raise Problems(list(damaged))
    codecs, aliases = codecs_of(folder, manifest), aliases or {}
    for name, of in aliases.items():
        if of not in manifest.streams:
            raise _no_stream(of, f"streams.{name}.of", manifest.streams)
    stored = {name: name for name in manifest.streams} | {**aliases}
    index = index.with_aliases(aliases)
    return Dataset(
        source,
        manifest,
        index,
        schemas={name: schema_of(of, manifest.streams[of]) for name, of in stored.items()},
        statistics={name: manifest.streams[of].statistics for name, of in stored.items()},
        fitted={name: stream_folder(folder, of) for name, of in stored.items()},
        reader=ShardReader(source, manifest, index, {name: codecs[of] for name, of in stored.items()}),
        aliases=aliases,
    )


def open_datasets(recipe: Recipe, first: Path | DatasetUrl) -> list[Dataset]:
    """The data set in `first`, and the further ones of the recipe's mixture."""
    return [open_dataset(source_of(recipe, place), recipe.aliases) for place in (first, *recipe.places()[1:])]


def _no_stream(name: str, key: str, known: Iterable[str]) -> ConfigError:
    return ConfigError(
        f"the data set has no stream {name}", code="CONFIG_STREAM", field=key, expected=sorted(known), got=name
    )


def codecs_of(folder: Path, manifest: Manifest) -> dict[str, Codec]:
    """The codec of every stream of a data set. Raises DataError for a schema that this version does not know."""
    return {
        name: codec_for(schema_of(name, entry), stream_folder(folder, name)) for name, entry in manifest.streams.items()
    }


def schema_of(stream: str, entry: StreamEntry) -> AnySchema:
    """The schema of a stream. Raises DataError for one that this version does not know."""
    try:
        return TypeAdapter(AnySchema).validate_python(entry.schema_)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise DataError(
            f"stream {stream}: the manifest holds a schema that this version does not know: {key}: {first['msg']}",
            code="DATA_MANIFEST",
            field=f"streams.{stream}.schema.{key}",
            fix="ingest again",
        ) from error


def build_modalities(recipe: Recipe, dataset: Dataset, *, seed: int) -> dict[str, Modality]:
    """Codec, augment and freshly initialised encoder of every stream of the recipe.

    Each encoder's weights depend on (seed, stream name) alone. Raises ConfigError for a stream the data set lacks.
    """
    built = {}
    for name, stream in recipe.streams.items():
        if name not in dataset.schemas:
            raise _no_stream(name, f"streams.{name}", dataset.schemas)
        schema = dataset.schemas[name]
        if schema.kind != stream.kind:
            raise ConfigError(
                f"stream {name} is of another kind",
                code="CONFIG_STREAM",
                field=f"streams.{name}.kind",
                expected=schema.kind,
                got=stream.kind,
            )
        torch.manual_seed(derive_seed(seed, "init", name))
        built[name] = _build(name, stream, schema, dataset)
    return built


def _build(name: str, stream: AnyStream, schema: AnySchema, dataset: Dataset) -> Modality:
    try:
        return stream.modality(schema, dataset.statistics[name], dataset.fitted[name])  # pyright: ignore[reportArgumentType] - kinds were compared
    except ValueError as error:
        raise ConfigError(
            f"streams.{name}: {error}",
            code="CONFIG_VALUE",
            field=f"streams.{name}",
            fix="change the encoder or the schema",
        ) from error


def build_pretraining(
    recipe: Recipe, modalities: dict[str, Modality], surroundings: Surroundings | None = None
) -> Pretraining:
    """The pretraining task of a recipe; surroundings: what its objectives may know of samples beyond their signals."""
    torch.manual_seed(derive_seed(recipe.seed, "init", "projectors"))
    named = name_objectives(recipe.objectives, list(recipe.streams))
    return Pretraining(modalities, named, seed=recipe.seed, surroundings=surroundings)


def batch_reader(
    dataset: Dataset, streams: list[str], label: str | None = None, step_labels: Sequence[str] = ()
) -> Callable[[np.ndarray], Batch]:
    """Sample indices -> Batch."""
    return lambda indices: dataset.reader.batch(indices, streams=streams, label=label, step_labels=step_labels)


def mixture_reader(datasets: Sequence[Dataset], streams: list[str]) -> Callable[[np.ndarray], Batch]:
    """Sample indices over several data sets -> Batch. Raises Problems where their streams differ."""
    reader = ConcatenatedReader([dataset.reader for dataset in datasets])
    return lambda indices: reader.batch(indices, streams=streams)


def pretrain_identity(recipe: Recipe, manifests: Sequence[Manifest]) -> dict[str, JsonValue]:
    """What makes two pretraining runs the same: data, model, objectives, order and numbers; not workers or logging."""
    operational = {"workers", "min_workers", "gpus", "checkpoint_every", "log_every", "monitor_every", "max_failures"}
    operational |= {"readers", "read_ahead_mib", "hang_after_s", "mirror"}
    document = to_json(recipe)
    pretrain = document["pretrain"]
    assert isinstance(pretrain, dict)  # noqa: S101
    return {
        "manifest": manifests[0].sha256,
        "mix": [[m.sha256, part.weight] for m, part in zip(manifests, recipe.data.mix or (), strict=False)],
        "seed": recipe.seed,
        "streams": document["streams"],
        "objectives": document["objectives"],
        "memory": document["memory"],
        "relations": document["relations"],
        "edge_files": {**edge_file_hashes(recipe.relations, Path(recipe.data.root or "."))},
        "pretrain": {key: value for key, value in pretrain.items() if key not in operational},
    }
