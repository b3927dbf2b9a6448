"""What an ingest made, in a few lines, and what cannot work with it."""

import numpy as np

from jobs._console import Console
from jobs.configs import Recipe
from jobs.lacking_column import lacking_column
from jobs.step_labels import labelled_stream
from pipeline.data.index import Index
from pipeline.data.manifest import Manifest
from pipeline.data.split import SPLITS
from pipeline.errors import DataError


def check_columns(recipe: Recipe, manifest: Manifest, index: Index) -> None:
    """Raises DataError where the data set lacks what the later stages need, before hours were spent on the first.

    And ConfigError for a step label of a stream that takes no part.
    """
    for key, name, known in (
        ("label", recipe.label, manifest.labels),
        ("subject", recipe.subject, index.groups),
        *((key, target, manifest.labels) for key, target in recipe.label_targets()),
    ):
        if name is not None and name not in known:
            raise lacking_column(key, name, known)
    if recipe.label is not None and len(manifest.labels[recipe.label]) < 2:
        raise DataError(
            f"label {recipe.label} has one class only",
            code="DATA_LABEL",
            field="label",
            got=list(manifest.labels[recipe.label]),
            fix="set label: null, or label more",
        )
    for key, name in recipe.step_labels():
        labelled_stream(manifest.step_labels, name, recipe.streams, field=key)


def show_dataset(recipe: Recipe, manifest: Manifest, index: Index, console: Console) -> None:
    """Samples by split, presence of each stream, classes and people."""
    records, length = len(np.unique(index.record)), len(index)
    sizes = ", ".join(f"{name} {manifest.split.counts.get(name, 0)}" for name in SPLITS)
    console.line(f"{length} samples of {records} records: {sizes}")
    console.line("streams  " + ", ".join(f"{name} in {index.present(name).mean():.0%}" for name in index.streams))
    for name, names in manifest.labels.items():
        console.line(f"label    {name}: {len(names)} classes, {(index.labels(name) < 0).sum()} samples without")
    for name, entry in manifest.step_labels.items():
        share = (index.place(name).size >= 0).mean()
        console.line(f"steps    {name} of {entry.stream}: {len(entry.classes)} classes, in {share:.0%} of the samples")
    if recipe.subject is not None:
        people = index.group(recipe.subject)
        counts = {name: len(np.unique(people[index.split == name])) for name in SPLITS}
        console.line(f"{recipe.subject}  " + ", ".join(f"{name} {count}" for name, count in counts.items()))
        if counts["test"] == 1:
            console.line(f"warning: one {recipe.subject} is in the test split: no interval can be given")
    for name in index.streams:
        if not index.present(name).any():
            console.line(f"warning: no sample has the stream {name}")
