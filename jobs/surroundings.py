"""From a recipe to what its objectives may know about samples: memory, relations, time, groups."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from jobs.assemble import Dataset
from jobs.configs import Recipe
from pipeline.data.index import Index
from pipeline.data.order_config import NeighbourOrder
from pipeline.data.rows import Rows, rows_of
from pipeline.errors import ConfigError
from pipeline.memory.memory import Memory
from pipeline.memory.runtime import Runtime
from pipeline.objectives.inter import InterSample
from pipeline.relations.build import build_relation
from pipeline.relations.relation import Relation
from pipeline.relations.samples import Samples
from pipeline.train.named_objectives import NamedObjective, memory_source, name_objectives
from pipeline.train.surroundings import Surroundings
from pipeline.worker import Worker

_log = logging.getLogger(__name__)
_IN_MEMORY = {"mined", "clusters", "keys"}


def surroundings_of(recipe: Recipe, datasets: Sequence[Dataset], worker: Worker, device: torch.device) -> Surroundings:
    """What the objectives of the recipe need, over the training rows of the data sets.

    Raises ConfigError, DataError or Problems for relations and a memory that the data does not allow.
    """
    indexes = [dataset.index for dataset in datasets]
    named = name_objectives(recipe.objectives, list(recipe.streams))
    relations = _named_relations(recipe, named)
    if relations and len(indexes) > 1:
        raise ConfigError("relations link samples of one data set", code="CONFIG_VALUE", field="data.mix")
    rows, spans = training_rows(indexes), _spans(indexes)
    _warn_of_warmup(recipe, named)
    remembered = any(objective.config.needs & _IN_MEMORY for objective in named)
    return Surroundings(
        rows=rows,
        spans=spans,
        seed=recipe.seed,
        columns={} if len(indexes) > 1 else columns_of(indexes[0], rows),
        label=recipe.label,
        relations=relations_of(recipe, indexes[0], datasets[0].manifest.labels, relations),
        memory=_memory(recipe, named, rows, spans, Runtime(worker, recipe.seed, device)) if remembered else None,
    )


def _warn_of_warmup(recipe: Recipe, named: Sequence[NamedObjective]) -> None:
    """Not refused: a short trial of a long recipe is normal."""
    waiting = [o.name for o in named if isinstance(o.config, InterSample) or "clusters" in o.config.needs]
    if waiting and recipe.memory.warmup_epochs >= recipe.pretrain.epochs:
        _log.warning(
            "memory.warmup_epochs %d is not below pretrain.epochs %d: %s will see no pseudo-labels",
            recipe.memory.warmup_epochs,
            recipe.pretrain.epochs,
            ", ".join(waiting),
        )


def training_rows(indexes: Sequence[Index]) -> Rows:
    """The training samples of all data sets; those of the second follow all samples of the first."""
    starts = np.cumsum([0, *(len(index) for index in indexes)])
    return rows_of(np.concatenate([index.rows("train") + start for index, start in zip(indexes, starts, strict=False)]))


def columns_of(index: Index, rows: Rows) -> dict[str, np.ndarray]:
    """Group and label columns of the rows as numbers (n,) int64, -1 where unknown."""
    samples = Samples("columns", index, rows)
    return {name: samples.numbers(name, key="column", labels=True) for name in (*index.groups, *index.classes)}


def relations_of(
    recipe: Recipe, index: Index, class_names: Mapping[str, Sequence[str]], names: Sequence[str]
) -> dict[str, Relation]:
    """The relations of these names, built from training samples only. Raises ConfigError for one nobody declared."""
    rows, folder, built = training_rows([index]), Path(recipe.data.root or "."), dict[str, Relation]()
    for name in names:
        if name not in recipe.relations:
            raise ConfigError(
                f"an objective or pretrain.order names the relation {name!r}, which the recipe does not declare",
                code="CONFIG_RELATION",
                field=f"relations.{name}",
                expected=sorted(recipe.relations),
                got=name,
                fix="declare it under relations",
            )
        config = recipe.relations[name]
        built[name] = build_relation(name, config, index, rows, folder=folder, class_names=class_names).relation
    return built


def _named_relations(recipe: Recipe, named: Sequence[NamedObjective]) -> list[str]:
    """Relations that objectives and the order ask for."""
    asked = {related for objective in named if (related := objective.config.related) is not None}
    if isinstance(recipe.pretrain.order, NeighbourOrder):
        asked.add(recipe.pretrain.order.relation)
    return sorted(asked)


def _memory(recipe: Recipe, named: Sequence[NamedObjective], rows: Rows, spans: np.ndarray, runtime: Runtime) -> Memory:
    source = memory_source(named, recipe.memory.source)
    dim = source.config.projection.dim
    return Memory(recipe.memory, rows, streams=source.streams, dim=dim, spans=spans, runtime=runtime)


def _spans(indexes: Sequence[Index]) -> np.ndarray:
    """Record, start and end (n, 3) int64 of the training samples; records of different data sets differ."""
    parts, records = [], 0
    for index in indexes:
        train = index.rows("train")
        parts.append(np.stack([index.record[train] + records, index.start_ns[train], index.end_ns[train]], axis=1))
        records += int(index.record.max()) + 1
    return np.concatenate(parts).astype(np.int64)
