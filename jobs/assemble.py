"""From a recipe to the parts the pipeline works with: data set, codecs, modalities, order, task."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import JsonValue, TypeAdapter

from jobs.configs import Recipe
from modalities.catalogue import AnySchema, AnyStream, codec_for
from modalities.draws import derive_seed
from modalities.spec import Codec, Modality
from pipeline.config import to_json
from pipeline.data.index import Index, load_index
from pipeline.data.manifest import Manifest, load_manifest, stream_folder
from pipeline.data.read import ShardReader
from pipeline.data.verify import damaged_fitted_files
from pipeline.errors import ConfigError, Problems
from pipeline.train.pretraining import Pretraining, name_objectives
from pipeline.types import Batch


@dataclass(frozen=True)
class Dataset:
    """An ingested data set opened for reading."""

    folder: Path
    manifest: Manifest
    index: Index
    schemas: dict[str, AnySchema]
    reader: ShardReader


def open_dataset(folder: Path) -> Dataset:
    """Open `folder`. Raises DataError where it is missing or damaged."""
    manifest = load_manifest(folder)
    index = load_index(folder, manifest)
    if damaged := damaged_fitted_files(folder, manifest):
        raise Problems(list(damaged))
    schemas: dict[str, AnySchema] = {
        name: TypeAdapter(AnySchema).validate_python(entry.schema_) for name, entry in manifest.streams.items()
    }
    codecs: dict[str, Codec] = {
        name: codec_for(schema, stream_folder(folder, name)) for name, schema in schemas.items()
    }
    return Dataset(folder, manifest, index, schemas, ShardReader(folder, manifest, index, codecs))


def build_modalities(recipe: Recipe, dataset: Dataset, *, seed: int) -> dict[str, Modality]:
    """Codec, augment and freshly initialised encoder of every stream of the recipe.

    Each encoder's weights depend on (seed, stream name) alone. Raises ConfigError for a stream the data set lacks.
    """
    built = {}
    for name, stream in recipe.streams.items():
        if name not in dataset.schemas:
            raise ConfigError(
                f"the data set has no stream {name}",
                code="CONFIG_STREAM",
                field=f"streams.{name}",
                expected=sorted(dataset.schemas),
                got=name,
            )
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
    statistics, folder = dataset.manifest.streams[name].statistics, stream_folder(dataset.folder, name)
    try:
        return stream.modality(schema, statistics, folder)  # pyright: ignore[reportArgumentType] - kinds were compared
    except ValueError as error:
        raise ConfigError(
            f"streams.{name}: {error}",
            code="CONFIG_VALUE",
            field=f"streams.{name}",
            fix="change the encoder or the schema",
        ) from error


def build_pretraining(recipe: Recipe, modalities: dict[str, Modality]) -> Pretraining:
    """The pretraining task of a recipe."""
    torch.manual_seed(derive_seed(recipe.seed, "init", "projectors"))
    return Pretraining(modalities, name_objectives(recipe.objectives, list(recipe.streams)), seed=recipe.seed)


def batch_reader(dataset: Dataset, streams: list[str], label: str | None = None) -> Callable[[np.ndarray], Batch]:
    """Sample indices -> Batch."""
    return lambda indices: dataset.reader.batch(indices, streams=streams, label=label)


def pretrain_identity(recipe: Recipe, manifest: Manifest) -> dict[str, JsonValue]:
    """What makes two pretraining runs the same: data, model, objectives, order and numbers; not workers or logging."""
    operational = {"workers", "gpus", "checkpoint_every", "log_every", "monitor_every", "max_failures"}
    document = to_json(recipe)
    assert isinstance(document, dict)  # noqa: S101 - a model dumps to an object
    pretrain = document["pretrain"]
    assert isinstance(pretrain, dict)  # noqa: S101
    return {
        "manifest": manifest.sha256,
        "seed": recipe.seed,
        "streams": document["streams"],
        "objectives": document["objectives"],
        "pretrain": {key: value for key, value in pretrain.items() if key not in operational},
    }
