"""Probes, and tuned encoders, beside the strongest of their controls, paired by test sample."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modalities.draws import derive_seed
from pipeline.evaluate.gain import Correct, Gain, paired
from pipeline.evaluate.multi_label import MultiLabelRow
from pipeline.evaluate.probe_row import ProbeRow
from pipeline.evaluate.regression import RegressionRow


@dataclass(frozen=True)
class _Scored:
    """A row of any probe. samples: (N,) what each labelled test sample adds to the score, which is their mean."""

    name: str
    source: str
    subset: str
    percent: float
    shots: int | None
    samples: Correct


def gains(rows: Sequence[ProbeRow], groups: NDArray[np.str_], *, seed: int) -> list[Gain]:
    """Of every subset and percentage that has a control beside its linear probe; groups (N,) of labelled test samples.

    Metadata is no control here: it is a warning of leaks, not a way to solve the task.
    """
    linear = [row for row in rows if row.method == "linear"]
    scored = [_Scored(row.name, row.source, row.subset, row.percent, row.shots, row.correct) for row in linear]
    return _gains(scored, groups, seed=seed, own="probe")


def target_gains(
    rows: Sequence[RegressionRow | MultiLabelRow], groups: NDArray[np.str_], *, seed: int, own: str = "probe"
) -> list[Gain]:
    """The same of R2, or of whole sets of tags, for the rows of one target. own: source that controls are beside."""
    scored = [_Scored(row.name, row.source, row.subset, row.percent, None, row.samples) for row in rows]
    named = {"method": rows[0].kind, "target": rows[0].target}
    return [gain.model_copy(update=named) for gain in _gains(scored, groups, seed=seed, own=own)]


def _gains(rows: Sequence[_Scored], groups: NDArray[np.str_], *, seed: int, own: str) -> list[Gain]:
    controls: dict[tuple[str, float], list[_Scored]] = {}
    for row in rows:
        if row.source not in {own, "metadata"}:
            controls.setdefault((row.subset, row.percent), []).append(row)
    return [
        _gain(row, controls[row.subset, row.percent], groups, seed=seed)
        for row in rows
        if row.source == own and (row.subset, row.percent) in controls
    ]


def _gain(row: _Scored, controls: Sequence[_Scored], groups: NDArray[np.str_], *, seed: int) -> Gain:
    best = max(controls, key=lambda control: control.samples.mean())
    compared = Gain(
        subset=row.subset,
        percent=row.percent,
        shots=row.shots,
        control=best.source,
        num_controls=len(controls),
        num_groups=len(np.unique(groups)),
        difference=float(row.samples.mean() - best.samples.mean()),
    )
    rng = np.random.default_rng(derive_seed(seed, "gain", row.name))
    return paired(compared, row.samples, best.samples, groups, rng=rng)
