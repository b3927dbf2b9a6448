"""What the regression probes predict: numbers in label columns."""

import numpy as np
from numpy.typing import NDArray

from jobs.assemble import Dataset
from jobs.configs import Recipe
from jobs.sample_groups import sample_groups
from pipeline.errors import DataError
from pipeline.evaluate.regression import RegressionTask

_SHOWN = 3


def regression_tasks(recipe: Recipe, dataset: Dataset) -> list[RegressionTask]:
    """One for every target; none where the recipe has none. Raises DataError for a target that is not all numbers."""
    return [] if recipe.regression is None else [_task(recipe, dataset, name) for name in recipe.regression.targets]


def _task(recipe: Recipe, dataset: Dataset, target: str) -> RegressionTask:
    index = dataset.index
    classes = index.labels(target)
    numbers = _numbers(target, dataset.manifest.labels[target])
    values = np.where(classes < 0, np.nan, numbers[classes])
    return RegressionTask(target, values, sample_groups(recipe, index), index.rows("train"), index.rows("test"))


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
