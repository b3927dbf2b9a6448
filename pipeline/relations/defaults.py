"""The relations that are looked at where nobody named any: equal values of each group column, and closeness in time."""

import numpy as np

from pipeline.relations.config import AnyRelation, SameRelation, TemporalRelation
from pipeline.relations.samples import Samples

_STEPS = 1.5  # of the usual gap between starts: one neighbour before and one after


def default_relations(samples: Samples) -> dict[str, AnyRelation]:
    """`same_<column>` for each group column, and `temporal` where samples of one recording have start times."""
    found: dict[str, AnyRelation] = {f"same_{name}": SameRelation(column=name) for name in samples.index.groups}
    temporal = _temporal(samples)
    return found if temporal is None else {**found, "temporal": temporal}


def _temporal(samples: Samples) -> TemporalRelation | None:
    """Recordings are the raw records, or else the finest group column that has any neighbours in time."""
    numbers = {name: samples.numbers(name, key="column") for name in samples.index.groups}
    finest = sorted(numbers, key=lambda name: -int(numbers[name].max(initial=-1)))
    recordings = [(None, samples.index.record[samples.idx]), *((name, numbers[name]) for name in finest)]
    start = samples.index.start_ns[samples.idx]
    for column, recording in recordings:
        gaps = _gaps(start, recording)
        if len(gaps):
            return TemporalRelation(within_s=float(f"{_STEPS * np.median(gaps) / 1e9:.3g}"), column=column)
    return None


def _gaps(start: np.ndarray, recording: np.ndarray) -> np.ndarray:
    """Nanoseconds between consecutive different starts of a recording."""
    known = np.flatnonzero((start >= 0) & (recording >= 0))
    order = known[np.lexsort((start[known], recording[known]))]
    gaps = np.diff(start[order])
    return gaps[(np.diff(recording[order]) == 0) & (gaps > 0)]
