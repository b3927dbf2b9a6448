import pytest
import torch

from modalities.draws import Draws
from modalities.image.patching import ImagePatching
from modalities.sensor.layers import Normalize
from modalities.sensor.patching import TimePatching
from modalities.spec import Patching
from modalities.text.patching import TokenPatching
from pipeline.objectives.masked import Masked, random_stretches

LENGTHS = torch.tensor([32, 20, 9, 4, 1, 0])
REAL = torch.arange(32) < LENGTHS[:, None]
TEXTS = TokenPatching(300, 4, ())
USUAL: dict[str, Patching] = {
    "series": TimePatching(Normalize(1, {"mean": [0.0], "std": [1.0]}, ()), 4),
    "image": ImagePatching(torch.zeros(3, 1, 1), torch.ones(3, 1, 1), 8),
    "text": TEXTS,
}


def draws(epoch: int = 0, rows: torch.Tensor | None = None) -> Draws:
    idx = torch.arange(len(LENGTHS)) if rows is None else rows
    return Draws.keyed(idx, seed=3, purpose="hidden/masked/imu", epoch=epoch)


@pytest.mark.parametrize(("share", "stretch"), [(0.4, 4), (0.75, 1), (0.01, 3), (0.99, 2), (0.5, 40)])
def test_something_is_hidden_of_everybody_and_something_stays(share: float, stretch: int) -> None:
    for epoch in range(20):
        hidden = random_stretches(REAL, draws(epoch), share=share, stretch=stretch)

        assert not (hidden & ~REAL).any()
        assert (hidden.sum(dim=1) < LENGTHS.clamp(min=1)).all()
        if stretch < 4:
            assert (hidden.any(dim=1) == (stretch < LENGTHS)).all()


def test_single_positions_are_hidden_in_the_exact_share() -> None:
    counts = random_stretches(REAL, draws(), share=0.4, stretch=1).sum(dim=1)

    assert counts.tolist() == [13, 8, 4, 2, 0, 0]


def test_positions_are_hidden_in_stretches_and_equally_often() -> None:
    many = torch.ones(4000, 32, dtype=torch.bool)
    hidden = random_stretches(many, draws(rows=torch.arange(4000)), share=0.4, stretch=4)
    share = hidden.float().mean(dim=0)
    inside = hidden[:, 4:-4].float()

    assert share.min() > 0.35
    assert share.max() < 0.45
    alone = inside[:, 1:-1] * (1 - inside[:, :-2]) * (1 - inside[:, 2:])
    assert alone.sum() == 0


def test_what_is_hidden_hangs_on_the_sample_and_the_epoch_alone() -> None:
    hidden = Masked().hidden(REAL, draws(), TEXTS)
    rows = torch.tensor([3, 1])

    assert Masked().hidden(REAL[rows], draws(rows=rows), TEXTS).equal(hidden[rows])
    assert not Masked().hidden(REAL, draws(epoch=1), TEXTS).equal(hidden)


@pytest.mark.parametrize(("kind", "share", "stretch"), [("series", 0.4, 4), ("image", 0.75, 1), ("text", 0.15, 1)])
def test_each_kind_of_stream_has_its_usual_share(kind: str, share: float, stretch: int) -> None:
    found = Masked().hidden(REAL, draws(), USUAL[kind])

    assert found.equal(random_stretches(REAL, draws(), share=share, stretch=stretch))
    assert (
        Masked(share=0.5, stretch=2)
        .hidden(REAL, draws(), USUAL[kind])
        .equal(random_stretches(REAL, draws(), share=0.5, stretch=2))
    )
