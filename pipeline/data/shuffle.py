"""The keyed block shuffle: any position of any epoch in constant time and memory."""

import numpy as np

from modalities.draws import derive_seed
from pipeline.data.order_config import ShuffleOrder
from pipeline.data.permutation import numbered_keys, permute
from pipeline.data.rows import Rows


class Shuffle:
    """Per epoch a permutation of the rows, a pure function of (rows, seed, epoch).

    Storage order is rotated by a keyed offset and cut into blocks; whole blocks are permuted; then samples are
    permuted inside windows of `buffer` positions. A window reads buffer / block runs of neighbouring samples.
    """

    def __init__(self, rows: Rows, *, seed: int, order: ShuffleOrder) -> None:
        self.rows, self.seed, self.order = rows, seed, order

    def __len__(self) -> int:
        return len(self.rows)

    def at(self, epoch: int, positions: np.ndarray) -> np.ndarray:
        """Sample numbers (B,) int64 at positions (B,) of an epoch, 0 <= position < number of rows."""
        return self.rows.take(self._storage(epoch, self._in_windows(epoch, positions)))

    def _in_windows(self, epoch: int, positions: np.ndarray) -> np.ndarray:
        window, offset = np.divmod(positions, self.order.buffer)
        start = window * self.order.buffer
        size = np.minimum(self.order.buffer, len(self.rows) - start)
        keys = numbered_keys(derive_seed(self.seed, "order/window", epoch), window)
        return start + permute(offset, size=size, key=keys)

    def _storage(self, epoch: int, positions: np.ndarray) -> np.ndarray:
        """Blocks in keyed order. A last block that is not full stays last; the rotation varies what is in it."""
        count, block = len(self.rows), self.order.block
        slot, offset = np.divmod(positions, block)
        moved = np.flatnonzero(slot < count // block)
        slot[moved] = permute(slot[moved], size=count // block, key=derive_seed(self.seed, "order/block", epoch))
        return (slot * block + offset + derive_seed(self.seed, "order/start", epoch) % count) % count
