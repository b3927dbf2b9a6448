"""Positions of an image encoder's sequence as squares of pixels, row by row.

Axes: B samples, H and W pixels, S positions, P values of a patch.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from modalities.spec import Patches, Signal


@dataclass(frozen=True)
class ImagePatching:
    """Position s stands for a square of `cell` x `cell` pixels of the image as the network receives it.

    mean, std: (3, 1, 1), what the encoder normalises with. side: height and width that images are resized to; None
    where they are taken as stored. partial: whether squares that stick out of the image have positions too.
    """

    share: ClassVar[float] = 0.75  # arXiv 2111.06377: images are so redundant that less is filled in from neighbours
    stretch: ClassVar[int] = 1

    mean: Tensor
    std: Tensor
    cell: int
    side: int | None = None
    partial: bool = False

    @property
    def width(self) -> int:
        return 3 * self.cell**2

    @property
    def categories(self) -> None:
        """Patches are values."""
        return

    def scores(self, signal: Signal) -> Tensor:
        """Standard scores (B, 3, H, W) of the network's input; 0, which is the mean colour, where pixels are hidden."""
        images = self._resized((signal.scaled().values - self.mean) / self.std)
        return images if signal.mask is None else torch.where(signal.mask, images, 0.0)

    def patches(self, signal: Signal) -> Patches:
        """Standard scores of the pixels, colour after colour."""
        scores = self.scores(signal)
        mask = torch.ones_like(scores, dtype=torch.bool) if signal.mask is None else signal.mask.expand_as(scores)
        return Patches(self._split(scores), self._split(mask & signal.present[:, None, None, None]))

    def hide(self, signal: Signal, positions: Tensor) -> Signal:
        """Pixels of the network's input, float32, with a mask; hidden ones are 0 and known to nobody."""
        pixels = self._resized(signal.scaled().values)
        height, width = pixels.shape[2:]
        squares = positions.unflatten(1, (-1, self._count(width)))[:, None]
        hidden = squares.repeat_interleave(self.cell, dim=2).repeat_interleave(self.cell, dim=3)
        mask = ~functional.pad(hidden, (0, width - hidden.shape[3], 0, height - hidden.shape[2]))
        if signal.mask is not None:
            mask = mask & signal.mask
        return Signal(torch.where(mask, pixels, 0.0), mask, signal.present)

    def _resized(self, images: Tensor) -> Tensor:
        if self.side is None or images.shape[2:] == (self.side, self.side):
            return images
        size = (self.side, self.side)
        return functional.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=True)

    def _count(self, pixels: int) -> int:
        return -(-pixels // self.cell) if self.partial else pixels // self.cell

    def _split(self, images: Tensor) -> Tensor:
        rows, columns = (self._count(size) for size in images.shape[2:])
        missing = (0, columns * self.cell - images.shape[3], 0, rows * self.cell - images.shape[2])
        squares = functional.pad(images, missing).unflatten(3, (columns, -1)).unflatten(2, (rows, -1))
        return squares.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
