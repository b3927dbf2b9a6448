"""Samples of one recording that start close to each other."""

import numpy as np

from pipeline.errors import DataError
from pipeline.relations.built import Built, Findings
from pipeline.relations.config import TemporalRelation
from pipeline.relations.ranges import ranges
from pipeline.relations.samples import Samples
from pipeline.relations.symmetrise import refuse_too_many, symmetrise

_LONGEST = 4e18  # ns on an int64 axis


def close_in_time(config: TemporalRelation, samples: Samples) -> Built:
    """Links between starts at most `within_s` apart. Raises ConfigError, and DataError where no sample has a time."""
    start = samples.index.start_ns[samples.idx]
    if not (start >= 0).any():
        raise DataError(
            f"{samples.field('kind')}: no sample of the pretraining split has a start time",
            code="DATA_TIMES",
            field=samples.field("kind"),
            fix="ingest with `start`, or choose another kind of relation",
        )
    recording = (
        samples.index.record[samples.idx] if config.column is None else samples.numbers(config.column, key="column")
    )
    known = np.flatnonzero((start >= 0) & (recording >= 0))
    order = known[np.lexsort((start[known], recording[known]))]
    counts = following(start[order], recording[order], round(config.within_s * 1e9))
    refuse_too_many(2 * int(counts.sum()), field=samples.field("within_s"), fix="lower within_s")
    source = np.repeat(order.astype(np.int32), counts)
    target = order.astype(np.int32)[ranges(np.arange(1, len(order) + 1), counts)]
    edges = symmetrise(len(samples), source, target, config.weight).edges
    isolated = int((edges.degree() == 0).sum())
    return Built(edges, Findings(unknown=len(samples) - len(known), isolated=isolated))


def following(start: np.ndarray, recording: np.ndarray, within: int) -> np.ndarray:
    """How many of the next entries (m,) int64 of the same recording start at most `within` later.

    start, recording: (m,) int64, sorted by recording, then start.
    """
    if not len(start):
        return np.zeros(0, np.int64)
    # One axis for all recordings: no step needs to be longer than what is just too far to be near.
    steps = np.where(recording[1:] == recording[:-1], np.diff(start), within + 1).clip(max=within + 1)
    if float(steps.astype(np.float64).sum()) > _LONGEST:
        raise DataError(
            "the recordings of all samples together are too long",
            code="DATA_TIMES",
            expected=f"<= {_LONGEST:.1e} ns",
            fix="lower within_s",
        )
    axis = np.concatenate([[0], np.cumsum(steps)])
    return np.searchsorted(axis, axis + within, side="right") - np.arange(1, len(start) + 1)
