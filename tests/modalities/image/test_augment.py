"""Views of images: each transform does what it says, to the share of samples it says."""

import pytest
import torch

from modalities.draws import Draws
from modalities.image.augment import Blur, ColourJitter, Erasing, Greyscale, HorizontalFlip, ResizedCrop
from modalities.image.stream import ImageStream
from modalities.spec import Augment, Signal

BATCH = 40


def batch() -> Signal:
    """Smooth colour ramps."""
    ramp = torch.linspace(0.1, 0.9, 32)
    images = torch.stack([ramp.expand(32, 32), ramp[:, None].expand(32, 32), 1 - ramp.expand(32, 32)])
    scale = torch.linspace(0.5, 1.0, BATCH)[:, None, None, None]
    return Signal(images * scale, None, torch.ones(BATCH, dtype=torch.bool))


def view(transform: Augment, number: int = 0) -> torch.Tensor:
    return transform(batch(), Draws.keyed(torch.arange(BATCH), seed=0, purpose="v", epoch=0, view=number)).values


def changed(values: torch.Tensor) -> torch.Tensor:
    return (values - batch().values).abs().amax(dim=(1, 2, 3)) > 1e-6


@pytest.mark.parametrize("kind", [ResizedCrop, HorizontalFlip, ColourJitter, Greyscale, Blur, Erasing])
def test_a_share_of_the_samples_is_changed_and_stays_in_range(kind: type) -> None:
    share = torch.cat([changed(view(kind(chance=0.3), number)) for number in range(12)]).float().mean()
    values = view(kind(chance=1.0))

    assert 0.2 < share < 0.4
    assert changed(values).float().mean() > 0.9  # a blur may be too slight to see
    assert 0 <= values.min() <= values.max() <= 1


def test_the_default_view_never_mirrors_nor_hides() -> None:
    kinds = {transform.kind for transform in ImageStream().augment}

    assert kinds.isdisjoint({"horizontal_flip", "erasing"})


def test_flip_mirrors_left_and_right() -> None:
    torch.testing.assert_close(view(HorizontalFlip(chance=1.0)), batch().values.flip(3))


def test_greyscale_makes_channels_equal() -> None:
    values = view(Greyscale(chance=1.0))

    torch.testing.assert_close(values[:, 0], values[:, 2])


def test_crop_keeps_a_part_of_the_asked_size() -> None:
    values = view(ResizedCrop(area=(0.25, 0.25), aspect=(1.0, 1.0)))
    reach = (values[:, 0].amax(dim=(1, 2)) - values[:, 0].amin(dim=(1, 2))) / torch.linspace(0.5, 1.0, BATCH)

    torch.testing.assert_close(reach, torch.full((BATCH,), 0.4 * 31 / 32), atol=0.03, rtol=0)
    assert len(values[:, 0, 0, 0].unique()) > 10, "every sample has its own part"


def test_erasing_paints_a_rectangle_of_the_asked_area() -> None:
    values = view(Erasing(chance=1.0, area=(0.25, 0.25), aspect=(1.0, 1.0), grey=1.0))
    painted = (values == 1.0).all(dim=1).float().mean(dim=(1, 2))

    torch.testing.assert_close(painted, torch.full((BATCH,), 0.25), atol=0.05, rtol=0)


def test_jitter_of_zero_strength_changes_nothing() -> None:
    values = view(ColourJitter(brightness=0, contrast=0, saturation=0, hue=0, chance=1.0))

    torch.testing.assert_close(values, batch().values, atol=1e-5, rtol=0)


def test_views_of_one_batch_differ() -> None:
    assert not torch.equal(view(ResizedCrop(), 0), view(ResizedCrop(), 1))
