import numpy as np
import torch

from modalities.spec import Signal
from pipeline.evaluate.image_statistics import ImageStatistics

CONFIG = ImageStatistics(side=4, levels=8, orientations=4, cells=2)
PIXELS, COLOURS = 3 * 16, 3 * 8


def images(*pictures: torch.Tensor) -> Signal:
    return Signal(torch.stack(pictures), None, torch.ones(len(pictures), dtype=torch.bool))


def test_the_colour_histogram_counts_pixels():
    picture = torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(0))
    picture[0, 0, 0] = 1.0
    found = CONFIG(images(picture))[0, PIXELS : PIXELS + COLOURS].reshape(3, 8)

    for channel in range(3):
        expected, _ = np.histogram(picture[channel].numpy(), bins=8, range=(0, 1))
        np.testing.assert_allclose(found[channel], expected / 576, atol=1e-6)


def test_the_thumbnail_is_the_mean_of_its_cells():
    picture = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(1))
    found = CONFIG(images(picture))[0, :PIXELS].reshape(3, 4, 4)

    assert np.isclose(found[1, 2, 3], picture[1, 4:6, 6:8].mean())


def test_stripes_point_in_one_direction():
    ramp = torch.arange(32.0) / 32
    across, down = ramp.expand(3, 32, 32), ramp[:, None].expand(3, 32, 32)
    found = CONFIG(images(across, down))[:, PIXELS + COLOURS :].reshape(2, 4, 4).sum(axis=2)

    assert found[0].argmax() == 0  # gradient along x: angle 0
    assert found[1].argmax() == 2  # along y: a quarter turn


def test_an_absent_image_is_zero():
    signal = Signal(torch.rand(2, 3, 16, 16), None, torch.tensor([True, False]))

    assert not CONFIG(signal)[1].any()
    assert CONFIG(signal)[0].any()
