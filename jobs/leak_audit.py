"""The leak audit of the probe stage: what makes every number of a run worthless stops it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from jobs._run_folder import RunFolder
from jobs.assemble import Dataset, source_of
from jobs.configs import Recipe
from jobs.pretrained import recorded_recipe
from pipeline.data.index import Index, load_index
from pipeline.data.manifest import load_manifest
from pipeline.data.verify_splits import disjoint_columns, split_leaks
from pipeline.errors import DataError, LeakError, StorageError
from pipeline.evaluate.controls import ProbeInput, probe_rows
from pipeline.evaluate.features import Features
from pipeline.evaluate.fusion import fuse
from pipeline.evaluate.leakage import content_leaks, group_leaks, metadata_leaks, raise_leaks, text_leaks
from pipeline.evaluate.near_copies import near_copy_leaks
from pipeline.evaluate.probe import ProbeRow, ProbeTask
from pipeline.evaluate.telling_terms import term_leaks

_OTHER_PEOPLE = "pretrain without the test subjects; where they only share names, set pretrained_subjects=other"


def audit_splits(recipe: Recipe, dataset: Dataset) -> None:
    """Raises Problems where a group, overlapping windows or identical samples lie on both sides of a split."""
    index, split, keys = dataset.index, dataset.index.split.astype(str), dataset.index.key.astype(str)
    leaks = split_leaks(index, dataset.manifest)
    if recipe.subject is not None and recipe.subject not in disjoint_columns(dataset.manifest):
        leaks += group_leaks(split, index.group(recipe.subject).astype(str), name=recipe.subject)
    signals = {name: index.content(name) for name in _compared(recipe, dataset)}
    leaks += content_leaks(split, signals, keys=keys) if signals else []
    raise_leaks(leaks)


def audit_near_copies(recipe: Recipe, dataset: Dataset, features: Features) -> None:
    """Raises Problems where samples of two splits are the same signal up to noise. features: hand-made, of all."""
    if not (signals := _compared(recipe, dataset)):
        return
    index = dataset.index
    near = near_copy_leaks(
        index.split.astype(str),
        fuse(features, signals, train=index.rows("train")),
        lambda idx: dataset.reader.batch(idx, streams=signals),
        keys=index.key.astype(str),
    )
    raise_leaks(near)


def _compared(recipe: Recipe, dataset: Dataset) -> list[str]:
    """Streams whose content must differ between splits: none where equal samples were declared normal.

    A repeated text alone is normal.
    """
    if dataset.manifest.split.rule.get("allow_duplicates"):
        return []
    return [name for name in recipe.distinct_streams() if dataset.schemas[name].kind != "text"]


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
        seen = [
            load_index(s.folder, manifest).with_aliases(other.aliases)
            for s, manifest in zip(sources, manifests, strict=True)
        ]
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
    if recipe.subject is not None and recipe.subject in seen.groups and recipe.pretrained_subjects == "same":
        people = np.concatenate([seen.group(recipe.subject)[train], own.group(recipe.subject)[test]]).astype(str)
        leaks += group_leaks(side, people, name=recipe.subject, fix=_OTHER_PEOPLE)
    origins = {n: recipe.pretrained_streams.get(n, n) for n in recipe.streams if dataset.schemas[n].kind != "text"}
    seen_too = {name: origin for name, origin in origins.items() if origin in seen.streams}
    content = {n: np.concatenate([seen.content(o, train), own.content(n, test)]) for n, o in seen_too.items()}
    return leaks + (content_leaks(side, content, keys=keys) if content else [])


def audit_texts(recipe: Recipe, dataset: Dataset, task: ProbeTask, features: Features) -> None:
    """Raises Problems where the words of a text stream name the label and nobody declared it, probed or not.

    features: hand-made, of all. Samples without the text are left aside: they cannot tell. A recipe of one stream reads
    the label from what there is.
    """
    texts = [n for n in recipe.streams if dataset.schemas[n].kind == "text" and n not in recipe.leak.allow]
    leaks: list[LeakError] = []
    for name in texts if len(recipe.streams) > 1 else []:
        labels = np.where(features.present[name], task.labels, -1)
        if all((labels[rows] >= 0).any() for rows in (task.train, task.test)):
            leaks += _telling(recipe, name, features, replace(task, labels=labels))
    raise_leaks(leaks)


def _telling(recipe: Recipe, stream: str, features: Features, task: ProbeTask) -> list[LeakError]:
    if found := term_leaks(features.values[stream], task, stream=stream):
        return found
    config = recipe.probe.model_copy(update={"label_percents": (100.0,), "draws": 1})
    given = ProbeInput("features", stream, fuse(features, [stream], train=task.train))
    rows = probe_rows(given, task, config=config, seed=recipe.seed)
    return [leak for row in rows for leak in text_leaks(row)]


def warn_of_metadata(rows: Sequence[ProbeRow]) -> list[str]:
    """Only warnings: metadata may predict a label for a good reason (a jump is short), which does not stop the run."""
    every = max((row.percent for row in rows), default=100.0)
    return [
        leak.message for row in rows if (row.source, row.percent) == ("metadata", every) for leak in metadata_leaks(row)
    ]
