"""What the sequence probes predict, classes of single steps, and what they read: stored tables of step features."""

from collections.abc import Mapping

from jobs.assemble import Dataset
from jobs.configs import Recipe
from jobs.sample_groups import sample_groups
from pipeline.evaluate.sequence_probe import SequenceRow, sequence_probe
from pipeline.evaluate.sequence_task import SequenceTask
from pipeline.evaluate.step_table import StepTable

StepTables = Mapping[str, Mapping[str, StepTable]]
"""Step label -> source -> its step features."""


def sequence_tasks(recipe: Recipe, dataset: Dataset) -> list[SequenceTask]:
    """One for every target; none where the recipe has none. `check_columns` knows that they are step labels."""
    return [_task(recipe, dataset, name) for name in recipe.step_targets()]


def sequence_rows(recipe: Recipe, dataset: Dataset, tables: StepTables) -> list[SequenceRow]:
    """Of every target and source."""
    config, rows = recipe.sequence, list[SequenceRow]()
    if config is None:
        return rows
    for task in sequence_tasks(recipe, dataset):
        stream = dataset.manifest.step_labels[task.name].stream
        for source, table in tables[task.name].items():
            rows += sequence_probe(
                table, task, source=source, stream=stream, config=config, probe=recipe.probe, seed=recipe.seed
            )
    return rows


def _task(recipe: Recipe, dataset: Dataset, target: str) -> SequenceTask:
    index = dataset.index
    labelled = index.place(target).size >= 0
    train, test = (rows[labelled[rows]] for rows in (index.rows("train"), index.rows("test")))
    classes = dataset.manifest.step_labels[target].classes
    return SequenceTask(target, len(classes), sample_groups(recipe, index), train, test)
