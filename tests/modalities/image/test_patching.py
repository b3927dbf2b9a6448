"""Squares of pixels: which position holds which, what is hidden, and as many positions as the encoders have."""

import pytest
import torch
from torch import nn

from modalities.image.codec import ImageSchema
from modalities.image.encoder import ConvNeXt, VisionTransformer
from modalities.image.patching import ImagePatching
from modalities.image.residual import ImageResNet
from modalities.spec import PatchEncoder, Signal

STATISTICS = {"mean": [0.4, 0.5, 0.6], "std": [0.1, 0.2, 0.3]}
MEAN, STD = (torch.tensor(STATISTICS[name])[:, None, None] for name in ("mean", "std"))


def images(height: int, width: int) -> Signal:
    values = torch.randint(0, 256, (3, 3, height, width), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return Signal(values, None, torch.tensor([True, False, True]))


@pytest.mark.parametrize(("partial", "rows", "columns"), [(True, 3, 4), (False, 2, 3)])
def test_a_patch_holds_the_standard_scores_of_its_square(partial: bool, rows: int, columns: int) -> None:
    signal, cell = images(10, 15), 4
    patching = ImagePatching(MEAN, STD, cell, partial=partial)
    patches = patching.patches(signal)
    seen = 0

    assert patches.values.shape == patches.known.shape == (3, rows * columns, patching.width)
    for row, colour, y, x in torch.cartesian_prod(*map(torch.arange, (3, 3, 10, 15))).tolist():
        if y // cell < rows and x // cell < columns:
            place = row, y // cell * columns + x // cell, colour * cell**2 + y % cell * cell + x % cell
            score = (float(signal.values[row, colour, y, x]) / 255 - float(MEAN[colour])) / float(STD[colour])
            assert float(patches.values[place]) == pytest.approx(score, abs=1e-5)
            assert bool(patches.known[place]) == bool(signal.present[row])
            seen += int(signal.present[row])
    assert int(patches.known.sum()) == seen  # what sticks out of the image is unknown


@pytest.mark.parametrize("partial", [True, False])
def test_hidden_squares_are_the_mean_colour_and_the_others_as_they_were(partial: bool) -> None:
    signal = images(10, 15)
    patching = ImagePatching(MEAN, STD, 4, partial=partial)
    hidden = torch.zeros(patching.patches(signal).values.shape[:2], dtype=torch.bool)
    hidden[0, -1], hidden[2, 1] = True, True

    view = patching.hide(signal, hidden)
    changed = (patching.scores(view) != patching.scores(signal)).any(dim=1)
    corner = (slice(8, 10), slice(12, 15)) if partial else (slice(4, 8), slice(8, 12))

    assert view.mask is not None
    assert (patching.scores(view)[~view.mask.expand(-1, 3, -1, -1)] == 0).all()
    assert (
        view.mask[0, 0].logical_not().sum()
        == changed[0].sum()
        == changed[0][corner].sum()
        == changed[0][corner].numel()
    )
    assert view.mask[2, 0].logical_not().sum() == changed[2].sum() == changed[2, 0:4, 4:8].sum() == 16
    assert not changed[1].any()


@pytest.mark.parametrize(
    ("config", "height", "width"),
    [
        (VisionTransformer(patch=5, width=8, depth=1, heads=2), 10, 15),
        (ImageResNet(widths=(8, 8, 8), groups=2, features=4), 19, 33),
        (ImageResNet(widths=(8, 8), groups=2, features=4, stem_stride=3), 17, 40),
        (ConvNeXt(patch=3, widths=(4, 8), depths=(1, 1)), 20, 31),
    ],
    ids=["vit", "resnet", "resnet of stride 3", "convnext"],
)
def test_positions_are_those_of_the_encoder(
    config: VisionTransformer | ImageResNet | ConvNeXt, height: int, width: int
) -> None:
    torch.manual_seed(0)
    signal, encoder = images(height, width), config.build(ImageSchema(height=height, width=width), STATISTICS)
    assert isinstance(encoder, PatchEncoder)
    assert isinstance(encoder, nn.Module)

    assert encoder.patching.patches(signal).values.shape[1] == encoder(signal).mask.shape[1]


def test_resized_images_are_hidden_as_the_network_receives_them() -> None:
    signal = images(12, 20)
    patching = ImagePatching(MEAN, STD, 8, side=16)
    hidden = torch.tensor([[False, True, False, False]] * 3)
    view = patching.hide(signal, hidden)
    patches, shown = patching.patches(signal), patching.patches(view)

    assert patches.values.shape == (3, 4, patching.width)
    assert not shown.known[:, 1].any()
    torch.testing.assert_close(shown.values[:, [0, 2, 3]], patches.values[:, [0, 2, 3]])
    assert (shown.values[:, 1] == 0).all()


def test_what_was_hidden_before_stays_hidden() -> None:
    zeros, ones = torch.zeros(3, 1, 1), torch.ones(3, 1, 1)
    patching = ImagePatching(zeros, ones, cell=2)
    signal = Signal(torch.ones(1, 3, 4, 4), None, torch.ones(1, dtype=torch.bool))
    once = patching.hide(signal, torch.tensor([[True, False, False, False]]))

    twice = patching.hide(once, torch.tensor([[False, False, False, True]]))

    assert patching.patches(twice).known.all(dim=2).tolist() == [[False, True, True, False]]
    assert twice.values.sum() == 3 * 8
