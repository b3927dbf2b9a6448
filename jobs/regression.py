"""Regression rows of the probe stage: numbers in label columns, from learned features and from the controls."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from jobs.assemble import Dataset
from jobs.configs import Recipe
from pipeline.errors import DataError
from pipeline.evaluate.controls import subset_name
from pipeline.evaluate.features import Features
from pipeline.evaluate.fusion import fuse, standardise
from pipeline.evaluate.regression import RegressionRow, RegressionTask, regression_probe

_SHOWN = 3


def regression_rows(
    recipe: Recipe, dataset: Dataset, tables: Mapping[str, Features], metadata: NDArray[np.float32]
) -> list[RegressionRow]:
    """Of every target, table of features and subset of streams; none where the recipe has no targets.

    metadata: (N, F) of `metadata_features`. Raises DataError for a target that is not all numbers.
    """
    if recipe.regression is None:
        return []
    train, streams = dataset.index.rows("train"), list(recipe.streams)
    inputs = {
        (source, subset_name(subset, streams)): fuse(table, subset, train=train)
        for source, table in tables.items()
        for subset in recipe.probed_subsets()
    }
    inputs["metadata", subset_name(streams, streams)] = standardise(metadata, train)
    tasks = [_task(recipe, dataset, target) for target in recipe.regression.targets]
    return [
        row
        for task in tasks
        for (source, subset), x in inputs.items()
        for row in regression_probe(
            x, task, source=source, subset=subset, config=recipe.regression, probe=recipe.probe, seed=recipe.seed
        )
    ]


def _task(recipe: Recipe, dataset: Dataset, target: str) -> RegressionTask:
    index = dataset.index
    classes = index.labels(target)
    numbers = _numbers(target, dataset.manifest.labels[target])
    groups = index.key if recipe.subject is None else index.group(recipe.subject)
    values = np.where(classes < 0, np.nan, numbers[classes])
    return RegressionTask(target, values, groups.astype(str), index.rows("train"), index.rows("test"))


def _numbers(target: str, names: tuple[str, ...]) -> NDArray[np.float64]:
    """The class names of a column of numbers are its cells: the numbers themselves."""
    wrong = [name for name in names if not _is_finite(name)]
    if wrong or not names:
        raise DataError(
            f"label {target} is no column of numbers",
            code="DATA_LABEL",
            field=target,
            expected="finite numbers",
            got=wrong[:_SHOWN] or "no label at all",
            fix="leave it out of regression.targets, or ingest it without names",
        )
    return np.array(names, np.float64)


def _is_finite(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False
