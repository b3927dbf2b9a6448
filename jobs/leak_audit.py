"""The leak audit of the probe stage: what makes every number of a run worthless stops it."""

from jobs.assemble import Dataset
from jobs.configs import Recipe
from pipeline.errors import LeakError
from pipeline.evaluate.leakage import (
    content_leaks,
    group_leaks,
    metadata_leaks,
    overlap_leaks,
    raise_leaks,
    text_leaks,
)
from pipeline.evaluate.probe import ProbeRow


def audit_splits(recipe: Recipe, dataset: Dataset) -> None:
    """Raises Problems where a subject, overlapping windows or identical samples lie on both sides of a split."""
    index, split, keys = dataset.index, dataset.index.split.astype(str), dataset.index.key.astype(str)
    leaks: list[LeakError] = []
    if recipe.subject is not None:
        people = index.group(recipe.subject).astype(str)
        leaks += group_leaks(split, people, name=recipe.subject)
        leaks += overlap_leaks(split, people, start_ns=index.start_ns, end_ns=index.end_ns, keys=keys)
    if not (recipe.data.ingest and recipe.data.ingest.allow_duplicates):
        signals = {n: index.content(n) for n in recipe.streams if dataset.schemas[n].kind != "text"}
        leaks += content_leaks(split, signals, keys=keys) if signals else []
    raise_leaks(leaks)


def audit_rows(recipe: Recipe, dataset: Dataset, rows: list[ProbeRow]) -> list[str]:
    """Raises Problems where the words of a text stream name the label and nobody declared it.

    Returns warnings: metadata may predict a label for a good reason (a jump is short), so that does not stop the run.
    """
    every = max(recipe.probe.label_percents)
    full = [row for row in rows if row.percent == every]
    texts = {name for name in recipe.streams if dataset.schemas[name].kind == "text"} - set(recipe.leak.allow)
    raise_leaks([leak for row in full if row.source == "features" and row.subset in texts for leak in text_leaks(row)])
    return [leak.message for row in full if row.source == "metadata" for leak in metadata_leaks(row)]
