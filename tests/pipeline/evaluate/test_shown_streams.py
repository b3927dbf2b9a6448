import numpy as np
import torch

from modalities.spec import Signal
from pipeline.evaluate.shown_streams import pictures, series, texts


def test_series_end_with_the_longest_and_have_gaps_where_nothing_was_observed() -> None:
    values = torch.arange(2 * 2 * 5, dtype=torch.float32).reshape(2, 2, 5)
    mask = torch.ones(2, 2, 5, dtype=torch.bool)
    mask[:, :, 3:] = False  # padding
    mask[0, 1, 1] = False
    found = series(Signal(values, mask, torch.tensor([True, False])), channels=["x", "y"], rate_hz=25)

    np.testing.assert_array_equal(found.values[0], [[0, 1, 2], [5, np.nan, 7]])
    assert np.isnan(found.values[1]).all()
    assert found.present.tolist() == [True, False]
    assert values[0, 1, 1] == 6, "the batch is not changed"


def test_series_of_absent_samples_only_can_be_drawn() -> None:
    found = series(Signal(torch.zeros(2, 1, 9), None, torch.zeros(2, dtype=torch.bool)), channels=["x"], rate_hz=1)

    assert found.values.shape == (2, 1, 1)


def test_pictures_are_the_stored_pixels() -> None:
    values = torch.randint(0, 256, (2, 3, 4, 5), dtype=torch.uint8)
    found = pictures(Signal(values, None, torch.ones(2, dtype=torch.bool)))

    assert found.values.dtype == np.uint8
    np.testing.assert_array_equal(found.values, values.permute(0, 2, 3, 1))


def test_texts_are_the_words_of_the_tokens_without_padding() -> None:
    tokens = torch.tensor([[2, 7, 8, 0], [9, 9, 9, 9], [0, 0, 0, 0]])
    mask = torch.tensor([[True, True, True, False], [True] * 4, [False] * 4])
    signal = Signal(tokens, mask, torch.tensor([True, True, False]))

    found = texts(signal, lambda ids: " ".join(f"w{i}" for i in ids))

    assert list(found.values) == ["w2 w7 w8", "w9 w9 w9 w9", ""]
