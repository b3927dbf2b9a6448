"""What the multi-label probes predict: sets of tags in label columns."""

import numpy as np

from jobs.assemble import Dataset
from jobs.configs import Recipe
from jobs.sample_groups import sample_groups
from pipeline.data.labels import tags_of
from pipeline.errors import DataError
from pipeline.evaluate.multi_label import MultiLabelTask


def multi_label_tasks(recipe: Recipe, dataset: Dataset) -> list[MultiLabelTask]:
    """One for every target; none where the recipe has none. Raises DataError for a target of fewer than two tags."""
    if recipe.multi_label is None:
        return []
    return [_task(recipe, dataset, name, recipe.multi_label.separator) for name in recipe.multi_label.targets]


def _task(recipe: Recipe, dataset: Dataset, target: str, separator: str) -> MultiLabelTask:
    index = dataset.index
    cells = index.labels(target)
    sets = [tags_of(name, separator) for name in dataset.manifest.labels[target]]
    names = sorted(frozenset[str]().union(*sets))
    if len(names) < 2:
        raise DataError(
            f"label {target} has fewer than two tags",
            code="DATA_LABEL",
            field=target,
            got=names,
            fix=f"leave it out of multi_label.targets, or set multi_label.separator, which is {separator!r}",
        )
    table = np.array([[name in tags for name in names] for tags in sets] + [[False] * len(names)])
    return MultiLabelTask(
        name=target,
        names=tuple(names),
        tags=table[cells],  # -1, unlabelled, is the last row
        known=cells >= 0,
        groups=sample_groups(recipe, index),
        train=index.rows("train"),
        test=index.rows("test"),
    )
