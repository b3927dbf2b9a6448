"""How alike the frozen features of two runs are, over the test samples of the data set that both probed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jobs._run_folder import RunFolder
from jobs.assemble import source_of
from jobs.configs import Recipe
from jobs.stored_tables import stored_tables
from pipeline.data.index import load_index
from pipeline.data.manifest import load_manifest
from pipeline.errors import NotMeasurable
from pipeline.evaluate.features import Features
from pipeline.evaluate.representation import cka, some_rows


@dataclass(frozen=True)
class StoredRun:
    """A finished run and the sha256 of the manifest that it probed."""

    recipe: Recipe
    folder: RunFolder
    manifest: str


def features_alike(runs: Sequence[StoredRun]) -> list[dict[str, float]]:
    """Linear CKA of each run's features to those of the first, by stream; none for another data set or too few samples.

    Raises OutputError, DataError and CheckpointError where stored features or the data set cannot be read.
    """
    same = [run.manifest == runs[0].manifest for run in runs[1:]]
    if not any(same):
        return [{} for _ in same]
    source = source_of(runs[0].recipe)
    test = load_index(source.folder, load_manifest(source.folder)).rows("test")
    first = stored_tables(runs[0].folder)["probe"]
    others = zip(runs[1:], same, strict=True)
    return [_by_stream(first, stored_tables(run.folder)["probe"], test) if equal else {} for run, equal in others]


def _by_stream(first: Features, other: Features, test: np.ndarray) -> dict[str, float]:
    found = {}
    at, its = first.positions(test), other.positions(test)
    for name in first.values.keys() & other.values.keys():
        both = np.flatnonzero(first.present[name][at] & other.present[name][its])
        kept = both[some_rows(len(both))]
        try:
            found[name] = cka(first.values[name][at[kept]], other.values[name][its[kept]])
        except NotMeasurable:
            continue  # a constant stream, or one that hardly any sample has
    return dict(sorted(found.items()))
