"""Hand-made features of an image stream: thumbnail, colour histogram, orientation histograms (HOG, CVPR 2005)."""

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch.nn.functional import adaptive_avg_pool2d

from modalities.spec import Config, Signal


class ImageStatistics(Config):
    """Images (B, 3, H, W) -> (B, F) float32; rows of absent samples are 0."""

    side: int = Field(default=12, ge=1)
    """Rows and columns of the thumbnail."""
    levels: int = Field(default=16, ge=2)
    """Bins of each channel's histogram."""
    orientations: int = Field(default=9, ge=2)
    """Bins of the gradient direction, over half a turn."""
    cells: int = Field(default=6, ge=1)
    """Rows and columns of cells, each with its own orientation histogram."""

    def __call__(self, signal: Signal) -> NDArray[np.float32]:
        x = signal.scaled().values.detach().cpu().float()
        pixels = adaptive_avg_pool2d(x, self.side).flatten(1)
        columns = [pixels.numpy(), self._colours(x.numpy()), self._directions(x.mean(dim=1).numpy())]
        return np.concatenate(columns, axis=1).astype(np.float32) * signal.present.cpu().numpy()[:, None]

    def _colours(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Share of pixels per intensity level and channel: (B, 3 * levels)."""
        level = np.minimum((x * self.levels).astype(np.int64), self.levels - 1)
        shares = [(level == k).mean(axis=(2, 3)) for k in range(self.levels)]
        return np.stack(shares, axis=2).reshape(len(x), -1).astype(np.float32)

    def _directions(self, grey: NDArray[np.float32]) -> NDArray[np.float32]:
        """Root of each cell's share of gradient magnitude by direction: (B, orientations * cells^2)."""
        dy, dx = np.gradient(grey, axis=(1, 2))
        magnitude = np.hypot(dx, dy)
        angle = np.mod(np.arctan2(dy, dx), np.pi) / np.pi
        direction = np.minimum((angle * self.orientations).astype(np.int64), self.orientations - 1)
        by_direction = np.stack([magnitude * (direction == k) for k in range(self.orientations)], axis=1)
        cells = adaptive_avg_pool2d(torch.from_numpy(by_direction), self.cells).numpy()
        return np.sqrt(cells / (cells.sum(axis=1, keepdims=True) + 1e-6)).reshape(len(grey), -1)
