"""Does pretraining help? The linear probe beside its strongest control, and fine-tuning beside the same network from
scratch, on the same labels and the same test samples.

A claim needs both: the 95 % interval over test groups leaves out 0, and the paired sign-flip test rejects at 5 %.
Resampled intervals alone are too narrow where groups are few. The strongest control is found on the test samples, which
favours it: a claim that pretraining is worse needs a p-value adjusted for the number of controls (Bonferroni).
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter

from modalities.draws import derive_seed
from pipeline.evaluate.paired_test import paired_difference
from pipeline.evaluate.probe_row import ProbeRow
from pipeline.evaluate.results import TITLES

LEAST_GROUPS = 6
"""With five groups the smallest p-value of a sign-flip test is 2 / 32: no result could be told from chance."""
LEVEL = 0.05
_RESAMPLES = 2000
Correct: TypeAlias = NDArray[np.floating]
Finding: TypeAlias = Literal["helps", "worse", "unclear", "untested"]


class Gain(BaseModel):
    """Accuracy of the method minus that of `control`, the strongest of `num_controls`.

    low, high: 95 % interval; p_value: two-sided. None where there are fewer than `LEAST_GROUPS` test groups.
    """

    model_config = ConfigDict(frozen=True)

    method: Literal["linear", "finetune"] = "linear"
    subset: str
    percent: float
    shots: int | None
    control: str
    num_controls: int
    num_groups: int
    difference: float
    low: float | None = None
    high: float | None = None
    p_value: float | None = None

    @property
    def finding(self) -> Finding:
        """What may be claimed."""
        if self.low is None or self.high is None or self.p_value is None:
            return "untested"
        if self.low > 0 and self.p_value <= LEVEL:
            return "helps"
        return "worse" if self.high < 0 and self.p_value * self.num_controls <= LEVEL else "unclear"

    def metrics(self) -> dict[str, float]:
        """Flat metrics by full name."""
        stage = f"probe/{self.subset}/linear" if self.method == "linear" else "finetune"
        name = f"{stage}/{self.percent:g}/gain"
        found = {name: self.difference, f"{name}_low": self.low, f"{name}_high": self.high}
        return {key: value for key, value in found.items() if value is not None}

    def sentence(self) -> str:
        """The claim, or that there is none, with its numbers."""
        least = "" if self.shots is None else f" (at least {self.shots} per class)"
        where = f"at {self.percent:g} % labels{least}"
        points = f"{100 * self.difference:+.1f} points over {TITLES.get(self.control, self.control).lower()}"
        if self.low is None or self.high is None:
            return (
                f"no interval {where}: {points}, but the test split has {self.num_groups} group"
                f"{'s' * (self.num_groups != 1)}, and fewer than {LEAST_GROUPS} cannot tell a difference from chance"
            )
        claims = {"helps": "pretraining helps", "worse": "pretraining is worse"}
        claim = claims.get(self.finding, "no difference shown") + " for fine-tuning" * (self.method == "finetune")
        return f"{claim} {where}: {points} (95 % interval {100 * self.low:.1f} to {100 * self.high:.1f})"


def gains(rows: Sequence[ProbeRow], groups: NDArray[np.str_], *, seed: int) -> list[Gain]:
    """Of every subset and percentage that has a control beside its linear probe; groups (N,) of labelled test samples.

    Metadata is no control here: it is a warning of leaks, not a way to solve the task.
    """
    linear = [row for row in rows if row.method == "linear"]
    controls: dict[tuple[str, float], list[ProbeRow]] = {}
    for row in linear:
        if row.source not in {"probe", "metadata"}:
            controls.setdefault((row.subset, row.percent), []).append(row)
    return [
        _gain(row, controls[row.subset, row.percent], groups, seed=seed)
        for row in linear
        if row.source == "probe" and (row.subset, row.percent) in controls
    ]


def _gain(row: ProbeRow, controls: Sequence[ProbeRow], groups: NDArray[np.str_], *, seed: int) -> Gain:
    best = max(controls, key=lambda control: control.accuracy)
    compared = Gain(
        subset=row.subset,
        percent=row.percent,
        shots=row.shots,
        control=best.source,
        num_controls=len(controls),
        num_groups=len(np.unique(groups)),
        difference=row.accuracy - best.accuracy,
    )
    return paired(
        compared, row.correct, best.correct, groups, rng=np.random.default_rng(derive_seed(seed, "gain", row.name))
    )


def paired(gain: Gain, own: Correct, control: Correct, groups: NDArray[np.str_], *, rng: np.random.Generator) -> Gain:
    """With difference, interval and p-value of what both got right of each test sample (N,); groups (N,)."""
    test = paired_difference(own, control, groups, rng=rng, resamples=_RESAMPLES)
    found: dict[str, float | None] = {"difference": test.difference}
    if gain.num_groups >= LEAST_GROUPS:
        found |= {"low": test.low, "high": test.high, "p_value": test.p_value}
    return gain.model_copy(update=found)


def read_gains(document: JsonValue) -> list[Gain]:
    """From `gains` of the result of a probe or a fine-tuning. Raises pydantic's ValidationError."""
    return TypeAdapter(list[Gain]).validate_python(document or [])
