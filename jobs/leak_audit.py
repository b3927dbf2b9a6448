"""The leak audit of the probe stage: what makes every number of a run worthless stops it."""

import numpy as np

from jobs._run_folder import RunFolder
from jobs.assemble import Dataset, source_of
from jobs.configs import Recipe
from jobs.pretrained import recorded_recipe
from pipeline.data.index import Index, load_index
from pipeline.data.manifest import load_manifest
from pipeline.errors import DataError, LeakError, StorageError
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


def audit_pretraining(recipe: Recipe, dataset: Dataset, pretrained: RunFolder) -> list[str]:
    """Raises Problems where encoders of another data set or split have seen test subjects or test samples.

    Returns a warning where that cannot be told, because the other data set is not here.
    """
    other = recorded_recipe(pretrained.path)
    try:
        sources = [source_of(other, place) for place in other.places()]
        manifests = [load_manifest(source.folder) for source in sources]
        if dataset.manifest.sha256 == manifests[0].sha256 and len(manifests) == 1:
            return []
        seen = [load_index(s.folder, manifest) for s, manifest in zip(sources, manifests, strict=True)]
    except (DataError, StorageError) as error:
        return [f"What the encoders of {pretrained.path} have seen cannot be checked against the test split: {error}"]
    leaks: list[LeakError] = []
    for index in seen:
        leaks += _shared(recipe, dataset, index)
    raise_leaks(leaks)
    return []


def _shared(recipe: Recipe, dataset: Dataset, seen: Index) -> list[LeakError]:
    """Subjects and samples of the test split among the training samples of `seen`."""
    train, test, own = seen.rows("train"), dataset.index.rows("test"), dataset.index
    side = np.array(["pretraining"] * len(train) + ["test"] * len(test))
    keys = np.concatenate([seen.key[train], own.key[test]]).astype(str)
    leaks: list[LeakError] = []
    if recipe.subject is not None and recipe.subject in seen.groups:
        people = np.concatenate([seen.group(recipe.subject)[train], own.group(recipe.subject)[test]]).astype(str)
        leaks += group_leaks(side, people, name=recipe.subject)
    signals = [n for n in recipe.streams if n in seen.streams and dataset.schemas[n].kind != "text"]
    content = {n: np.concatenate([seen.content(n, train), own.content(n, test)]) for n in signals}
    return leaks + (content_leaks(side, content, keys=keys) if content else [])


def audit_rows(recipe: Recipe, dataset: Dataset, rows: list[ProbeRow]) -> list[str]:
    """Raises Problems where the words of a text stream name the label and nobody declared it.

    Returns warnings: metadata may predict a label for a good reason (a jump is short), so that does not stop the run.
    """
    every = max(recipe.probe.label_percents)
    full = [row for row in rows if row.percent == every]
    texts = {name for name in recipe.streams if dataset.schemas[name].kind == "text"} - set(recipe.leak.allow)
    raise_leaks([leak for row in full if row.source == "features" and row.subset in texts for leak in text_leaks(row)])
    return [leak.message for row in full if row.source == "metadata" for leak in metadata_leaks(row)]
