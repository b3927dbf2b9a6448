"""Does pretraining help? Probes beside their strongest control, and fine-tuning beside the same network from scratch,
on the same labels and the same test samples.

A claim needs both: the 95 % interval over test groups leaves out 0, and the paired sign-flip test rejects at 5 %.
Resampled intervals alone are too narrow where groups are few. The strongest control is found on the test samples, which
favours it: a claim that pretraining is worse needs a p-value adjusted for the number of controls (Bonferroni).
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter

from pipeline.evaluate.paired_test import paired_difference
from pipeline.evaluate.results import TITLES

LEAST_GROUPS = 6
"""With five groups the smallest p-value of a sign-flip test is 2 / 32: no result could be told from chance."""
LEVEL = 0.05
_RESAMPLES = 2000
Correct: TypeAlias = NDArray[np.floating]
Method: TypeAlias = Literal["linear", "finetune", "regression", "multi_label"]
Finding: TypeAlias = Literal["helps", "worse", "unclear", "untested"]


class Gain(BaseModel):
    """Accuracy of the method minus that of `control`, the strongest of `num_controls`.

    Of `regression` it is R2, of `multi_label` the share of whole sets of tags; both name their target. They are of
    probes, and of fine-tuned encoders where the control is `supervised`, which is trained in no other stage.
    low, high: 95 % interval; p_value: two-sided. None where there are fewer than `LEAST_GROUPS` test groups.
    """

    model_config = ConfigDict(frozen=True)

    method: Method = "linear"
    target: str | None = None
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
        stages = {"linear": f"probe/{self.subset}/linear", "finetune": "finetune"}
        source = "finetune" if self._is_tuned else "probe"
        stage = stages.get(self.method, f"{self.method}/{self.target}/{source}/{self.subset}")
        name = f"{stage}/{self.percent:g}/gain"
        found = {name: self.difference, f"{name}_low": self.low, f"{name}_high": self.high}
        return {key: value for key, value in found.items() if value is not None}

    def sentence(self) -> str:
        """The claim, or that there is none, with its numbers."""
        least = "" if self.shots is None else f" (at least {self.shots} per class)"
        where = f"at {self.percent:g} % labels{least}"
        for_what = self._for_what()
        points = f"{self._difference()} over {TITLES.get(self.control, self.control).lower()}"
        if self.low is None or self.high is None:
            return (
                f"no interval{for_what} {where}: {points}, but the test split has {self.num_groups} group"
                f"{'s' * (self.num_groups != 1)}, and fewer than {LEAST_GROUPS} cannot tell a difference from chance"
            )
        claims = {"helps": "pretraining helps", "worse": "pretraining is worse"}
        claim = claims.get(self.finding, "no difference shown") + for_what
        low, high = (f"{v:.3f}" if self.method == "regression" else f"{100 * v:.1f}" for v in (self.low, self.high))
        return f"{claim} {where}: {points} (95 % interval {low} to {high})"

    @property
    def _is_tuned(self) -> bool:
        return self.method == "finetune" or (self.target is not None and self.control == "supervised")

    def _for_what(self) -> str:
        if not self._is_tuned:
            return "" if self.target is None else f" for {self.target}"
        return " for fine-tuning" if self.target is None else f" for fine-tuning on {self.target}"

    def _difference(self) -> str:
        if self.method == "regression":
            return f"R2 {self.difference:+.3f}"
        return f"{100 * self.difference:+.1f} points" + " of whole sets" * (self.method == "multi_label")


def paired(gain: Gain, own: Correct, control: Correct, groups: NDArray[np.str_], *, rng: np.random.Generator) -> Gain:
    """With difference, interval and p-value of what both got right of each test sample (N,); groups (N,)."""
    test = paired_difference(own, control, groups, rng=rng, resamples=_RESAMPLES)
    found: dict[str, float | None] = {"difference": test.difference}
    if gain.num_groups >= LEAST_GROUPS:
        found |= {"low": test.low, "high": test.high, "p_value": test.p_value}
    return gain.model_copy(update=found)


def few_groups(gains: Sequence[Gain]) -> list[str]:
    """What to know of intervals over fewer than `LEAST_GROUPS` test groups: a bootstrap of so few is too narrow."""
    few = sorted({gain.num_groups for gain in gains if gain.num_groups < LEAST_GROUPS})
    what = f"intervals over fewer than {LEAST_GROUPS} are too narrow, and tell no difference from chance."
    return [f"The test split has {number} group{'s' * (number != 1)}: {what}" for number in few]


def read_gains(document: JsonValue) -> list[Gain]:
    """From `gains` of the result of a probe or a fine-tuning. Raises pydantic's ValidationError."""
    return TypeAdapter(list[Gain]).validate_python(document or [])
