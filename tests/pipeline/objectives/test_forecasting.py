import torch

from modalities.draws import Draws
from modalities.text.patching import TokenPatching
from pipeline.objectives.forecasting import Forecasting

DRAWS = Draws.keyed(torch.arange(4), seed=0, purpose="hidden", epoch=0)
TEXTS = TokenPatching(300, 4, ())


def test_the_future_is_the_last_share_of_what_a_sample_has() -> None:
    real = torch.arange(12) < torch.tensor([12, 5, 1, 0])[:, None]
    real[0, 10] = False  # a gap does not count

    hidden = Forecasting(share=0.25).hidden(real, DRAWS, TEXTS)

    assert [row.nonzero().flatten().tolist() for row in hidden] == [[8, 9, 11], [4], [], []]


def test_the_first_moment_is_always_past() -> None:
    real = torch.ones(4, 3, dtype=torch.bool)

    assert Forecasting(share=0.99).hidden(real, DRAWS, TEXTS).tolist() == [[False, True, True]] * 4
