"""Training metrics as gauges of a shared Ray cluster, whose nodes answer Prometheus and put `ray_` before the names."""

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from jobs._poison_step import StepsOfAttempts

if TYPE_CHECKING:
    from ray.util.metrics import Gauge

GAUGES = {
    "kindred_step": "Last logged step",
    "kindred_planned_steps": "Steps of the whole training",
    "kindred_loss": "Loss of the last logged step",
    "kindred_samples_per_second": "Samples trained on per second since the step logged before",
    "kindred_slowest_worker_ratio": "Time of the slowest worker over the median of the others",
    "kindred_worker_restarts": "Times that the workers of this command were started again",
}
"""Name -> description. Each has the labels of `TAGS`."""

TAGS = ("run", "stage")
_LOGGED = {
    "loss/total": "kindred_loss",
    "samples_per_s": "kindred_samples_per_second",
    "workers/slowest_ratio": "kindred_slowest_worker_ratio",
}


class TrainingGauges:
    """Latest values of one stage of one run; `folder` is the stage's. A private Ray, without RAY_ADDRESS, has none."""

    def __init__(self, folder: Path, num_steps: int) -> None:
        self.shared = bool(os.environ.get("RAY_ADDRESS"))
        self.tags: dict[str, str] = dict(zip(TAGS, (folder.parent.name, folder.name), strict=True))
        self.attempts = StepsOfAttempts(folder)
        self.values = {"kindred_planned_steps": float(num_steps)}

    def note(self, step: int, metrics: Mapping[str, float]) -> None:
        """metrics: of one step, as training logs them."""
        self.values["kindred_step"] = float(step)
        self.values |= {name: metrics[key] for key, name in _LOGGED.items() if key in metrics}

    def export(self) -> None:
        """To be called all the time while Ray is connected: it forgets a gauge that is not set again within seconds."""
        if not self.shared:
            return
        self.values["kindred_worker_restarts"] = float(max(self.attempts.count() - 1, 0))
        for name, value in self.values.items():
            _gauge(name).set(value, tags=self.tags)


@functools.cache
def _gauge(name: str) -> "Gauge":
    from ray.util.metrics import Gauge  # Ray reads its variables when it is imported, and they are set by now

    return Gauge(name, description=GAUGES[name], tag_keys=TAGS)
