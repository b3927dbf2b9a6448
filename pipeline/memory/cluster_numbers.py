"""How many clusters a number of samples carries."""

import logging
from dataclasses import dataclass

from pipeline.errors import ConfigError
from pipeline.memory.config import ClustersConfig

_log = logging.getLogger(__name__)
_MEAN_SIZE = 128
_SMALLEST_SHARE = 0.16


@dataclass(frozen=True)
class ClusterNumbers:
    """Clusters, and the size below which one is dissolved; num * smallest <= samples / 2."""

    num: int
    smallest: int


def _smallest(config: ClustersConfig, num_rows: int, num: int) -> int:
    return config.min_cluster or max(2, round(_SMALLEST_SHARE * num_rows / num))


def check_numbers(config: ClustersConfig, num_rows: int) -> None:
    """Raise ConfigError for more clusters than the samples could ever fill.

    Beyond half of the samples a repair of small clusters only makes other small ones.
    """
    for place, num in enumerate(config.num or ()):
        smallest = _smallest(config, num_rows, num)
        if num < 2 or num * smallest * 2 > num_rows:
            raise ConfigError(
                f"{num} clusters of at least {smallest} samples do not fit {num_rows} samples",
                code="CONFIG_VALUE",
                field=f"memory.clusters.num.{place}",
                expected=f">= 2, <= {num_rows // (2 * smallest)}",
                got=num,
                fix="ask for fewer clusters or a smaller min_cluster",
            )


def numbers_for(config: ClustersConfig, num: int | None, num_valid: int, *, space: str) -> ClusterNumbers | None:
    """Clusters for the rows a space really has; None where they do not carry two clusters.

    num = None: k = clip(round(N / 128), 2, N // (4 smallest)). A given number is lowered, with a warning, where a
    stream is absent from so many samples that it does not fit.
    """
    wanted = num or max(2, round(num_valid / _MEAN_SIZE))
    smallest = _smallest(config, num_valid, wanted)
    most = num_valid // (2 * smallest) if num else num_valid // (4 * smallest)
    if most < 2:
        _log.warning("%s: %d rows are too few for two clusters of %d; it has no labels", space, num_valid, smallest)
        return None
    if num and most < num:
        _log.warning("%s: %d rows carry %d clusters of %d, not %d", space, num_valid, most, smallest, num)
    return ClusterNumbers(min(wanted, most), smallest)
