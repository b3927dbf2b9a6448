"""What the driver says of a worker that holds the others up."""

import logging
from collections.abc import Mapping

SLOW = 2.0
"""Times as long as the median of the others."""
_log = logging.getLogger(__name__)


class Stragglers:
    """Warns of each slow worker once."""

    def __init__(self) -> None:
        self.named: set[int] = set()

    def __call__(self, metrics: Mapping[str, float]) -> None:
        """metrics: of one step, `workers/slowest_*` as training logs them."""
        ratio = metrics.get("workers/slowest_ratio", 0.0)
        rank = int(metrics.get("workers/slowest_rank", 0))
        if ratio < SLOW or rank in self.named:
            return
        self.named.add(rank)
        waits = metrics["workers/slowest_data_share"] > 0.5
        _log.warning(
            "rank %d takes %.1f times as long as the others, mostly %s: all wait for it at every step",
            rank,
            ratio,
            "waiting for data" if waits else "computing",
        )
