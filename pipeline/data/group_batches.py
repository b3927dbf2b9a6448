"""P x K: every batch holds exactly P groups with K samples each."""

import logging

import numpy as np

from modalities.draws import derive_seed
from pipeline.data.order_config import GroupOrder
from pipeline.data.permutation import numbered_keys, permute
from pipeline.errors import ConfigError

_log = logging.getLogger(__name__)


class GroupBatches:
    """Groups come in keyed rounds, each at most once per round; a group's samples in keyed passes, K per visit.

    Sample numbers idx (n,) int64 with group values (n,) str. Groups that cannot give K samples, and samples whose
    group is unknown (""), take no part; `left_out` counts those samples. Batches are group-major: K of one group,
    then K of the next. A batch is computed from its number alone.
    """

    def __init__(self, idx: np.ndarray, groups: np.ndarray, *, batch_size: int, seed: int, order: GroupOrder) -> None:
        self.seed, self.order, self.steps_per_epoch = seed, order, order.steps_per_epoch
        names, number, counts = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
        kept = (counts >= order.samples_per_group) & (names != "")
        members = np.flatnonzero(kept[number])
        members = members[np.lexsort((idx[members], number[members]))]
        self.left_out = len(idx) - len(members)
        self._idx, self._count = np.asarray(idx, np.int64)[members], counts[kept].astype(np.int64)
        self._start = np.concatenate([[0], np.cumsum(self._count)[:-1]]).astype(np.int64)
        self.groups_per_batch = self._checked_groups(batch_size, len(self._count))
        if self.left_out:
            _log.warning("%d samples in small or unknown groups of %s take no part", self.left_out, order.column)

    def _checked_groups(self, batch_size: int, num_groups: int) -> int:
        each = self.order.samples_per_group
        if batch_size % each:
            raise ConfigError(
                "samples_per_group does not divide the batch size",
                code="CONFIG_VALUE",
                field="pretrain.order.samples_per_group",
                expected=f"a divisor of {batch_size}",
                got=each,
            )
        if num_groups < batch_size // each:
            raise ConfigError(
                f"{num_groups} groups of {self.order.column} have {each} samples, a batch needs {batch_size // each}",
                code="CONFIG_VALUE",
                field="pretrain.order",
                expected=f">= {batch_size // each} groups",
                got=num_groups,
                fix="lower batch_size, or raise samples_per_group while groups are large enough",
            )
        return batch_size // each

    def batch(self, epoch: int, step: int) -> np.ndarray:
        """Sample numbers (P * K,) int64. Raises IndexError for a step outside the epoch."""
        if not 0 <= step < self.steps_per_epoch:
            raise IndexError(f"step {step} of {self.steps_per_epoch}")
        size, number = self.groups_per_batch, epoch * self.steps_per_epoch + step
        rounds, place = divmod(number, len(self._count) // size)
        key = derive_seed(self.seed, "order/groups", rounds)
        chosen = permute(np.arange(place * size, (place + 1) * size), size=len(self._count), key=key)
        return self._members(chosen, rounds)

    def _members(self, groups: np.ndarray, visit: int) -> np.ndarray:
        """K samples of each group (P,) at its visit: a pass over the group gives count // K visits without repeats."""
        each = self.order.samples_per_group
        passes, place = np.divmod(visit, self._count[groups] // each)
        keys = numbered_keys(derive_seed(self.seed, "order/members"), passes)
        keys = numbered_keys(0, (keys ^ numbered_keys(1, groups)).view(np.int64))
        positions = place[:, None] * each + np.arange(each)
        size = np.repeat(self._count[groups], each)
        offsets = permute(positions.ravel(), size=size, key=np.repeat(keys, each))
        return self._idx[np.repeat(self._start[groups], each) + offsets]
