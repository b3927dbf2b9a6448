"""Views of images. Which samples change is drawn per sample; kornia's own numbers are seeded per micro-batch."""

from collections.abc import Callable
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from modalities.draws import Draws
from modalities.spec import Config, Signal

Range = tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]


class ResizedCrop(Config):
    """A random part of the image, enlarged to full size."""

    keeps_time: ClassVar[bool] = True
    kind: Literal["resized_crop"] = "resized_crop"
    """Crop and enlarge."""
    area: Range = (0.4, 1.0)
    """Smallest and largest area of the part, as a share of the image."""
    aspect: Range = (0.75, 1.3333)
    """Smallest and largest width over height of the part."""
    chance: float = Field(default=1.0, gt=0, le=1)
    """Share of samples that are changed."""

    def __call__(self, signal: Signal, draws: Draws) -> Signal:
        from kornia.augmentation import RandomResizedCrop  # imported late: only runs with images pay for it

        size = (signal.values.shape[2], signal.values.shape[3])
        crop = RandomResizedCrop(size, scale=self.area, ratio=self.aspect, align_corners=False)
        return change_some(signal, draws, chance=self.chance, transform=crop)


class HorizontalFlip(Config):
    """Left and right exchanged. Not in the default: left and right often mean something."""

    keeps_time: ClassVar[bool] = True
    kind: Literal["horizontal_flip"] = "horizontal_flip"
    """Mirror image."""
    chance: float = Field(default=0.5, gt=0, le=1)
    """Share of samples that are changed."""

    def __call__(self, signal: Signal, draws: Draws) -> Signal:
        return change_some(signal, draws, chance=self.chance, transform=lambda images: images.flip(3))


class ColourJitter(Config):
    """Random brightness, contrast, saturation and hue, in random order."""

    keeps_time: ClassVar[bool] = True
    kind: Literal["colour_jitter"] = "colour_jitter"
    """Colour changes."""
    brightness: float = Field(default=0.4, ge=0, le=1)
    """Factors are drawn from 1 - this to 1 + this."""
    contrast: float = Field(default=0.4, ge=0, le=1)
    """Factors are drawn from 1 - this to 1 + this."""
    saturation: float = Field(default=0.4, ge=0, le=1)
    """Factors are drawn from 1 - this to 1 + this."""
    hue: float = Field(default=0.1, ge=0, le=0.5)
    """Largest turn either way, as a share of the colour circle."""
    chance: float = Field(default=0.8, gt=0, le=1)
    """Share of samples that are changed."""

    def __call__(self, signal: Signal, draws: Draws) -> Signal:
        from kornia.augmentation import ColorJitter

        jitter = ColorJitter(self.brightness, self.contrast, self.saturation, self.hue)
        return change_some(signal, draws, chance=self.chance, transform=jitter)


class Greyscale(Config):
    """Colours removed."""

    keeps_time: ClassVar[bool] = True
    kind: Literal["greyscale"] = "greyscale"
    """No colours."""
    chance: float = Field(default=0.2, gt=0, le=1)
    """Share of samples that are changed."""

    def __call__(self, signal: Signal, draws: Draws) -> Signal:
        from kornia.augmentation import RandomGrayscale

        return change_some(signal, draws, chance=self.chance, transform=RandomGrayscale(p=1.0))


class Blur(Config):
    """Gaussian blur."""

    keeps_time: ClassVar[bool] = True
    kind: Literal["blur"] = "blur"
    """Out of focus."""
    sigma_px: Range = (0.1, 1.5)
    """Smallest and largest deviation of the kernel in pixels."""
    chance: float = Field(default=0.5, gt=0, le=1)
    """Share of samples that are changed."""

    def __call__(self, signal: Signal, draws: Draws) -> Signal:
        from kornia.augmentation import RandomGaussianBlur

        side = 2 * round(2 * self.sigma_px[1]) + 1
        blur = RandomGaussianBlur((side, side), self.sigma_px, border_type="replicate", p=1.0)
        return change_some(signal, draws, chance=self.chance, transform=blur)


class Erasing(Config):
    """A random rectangle painted over."""

    keeps_time: ClassVar[bool] = True
    kind: Literal["erasing"] = "erasing"
    """Hidden rectangle."""
    area: Range = (0.02, 0.2)
    """Smallest and largest area of the rectangle, as a share of the image."""
    aspect: Range = (0.3, 3.3)
    """Smallest and largest height over width of the rectangle."""
    grey: float = Field(default=0.5, ge=0, le=1)
    """What it is painted with."""
    chance: float = Field(default=0.25, gt=0, le=1)
    """Share of samples that are changed."""

    def __call__(self, signal: Signal, draws: Draws) -> Signal:
        from kornia.augmentation import RandomErasing

        erase = RandomErasing(scale=self.area, ratio=self.aspect, value=self.grey, p=1.0)
        return change_some(signal, draws, chance=self.chance, transform=erase)


AnyImageTransform = Annotated[
    ResizedCrop | HorizontalFlip | ColourJitter | Greyscale | Blur | Erasing,
    Field(discriminator="kind"),
]


def change_some(signal: Signal, draws: Draws, *, chance: float, transform: Callable[[Tensor], Tensor]) -> Signal:
    """`transform` (K, 3, H, W) in [0, 1] -> the same on a share of the present samples; float32 (B, 3, H, W).

    The global generator is untouched.
    """
    signal = signal.scaled()
    rows = (signal.present & (draws.uniform() < chance)).nonzero().squeeze(1)
    if len(rows) == 0:
        return signal
    seed = draws.select(rows).fork("library").seed()
    with torch.random.fork_rng(devices=[]):  # kornia draws on the CPU whatever the images' device
        torch.default_generator.manual_seed(seed)
        changed = transform(signal.values[rows])
    return Signal(signal.values.index_copy(0, rows, changed.clamp(0, 1)), None, signal.present)
