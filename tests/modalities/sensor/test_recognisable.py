import torch

from modalities.sensor.amplitude import Negation
from modalities.sensor.recognisable import recognisable
from modalities.sensor.timing import Reversal
from tests.modalities.sensor.sensor_batches import LENGTHS, batch, draws_for


def test_every_transform_shows_in_every_sample() -> None:
    signal = batch(gaps=True)
    for name, transform in recognisable(6).items():
        view = transform(signal, draws_for(len(LENGTHS)))
        changed = (view.values != signal.values).flatten(1).any(dim=1)

        assert changed[:4].all(), name  # a single step looks the same in any order


def test_rotation_needs_triples() -> None:
    assert set(recognisable(6)) - set(recognisable(4)) == {"rotation"}


def test_negation_and_reversal_undo_themselves() -> None:
    signal, draws = batch(gaps=True), draws_for(len(LENGTHS))
    assert signal.mask is not None
    for transform in (Negation(chance=1.0), Reversal(chance=1.0)):
        again = transform(transform(signal, draws), draws)

        assert again.values.equal(signal.values)
        assert again.mask is not None
        assert again.mask.equal(signal.mask)


def test_a_reversed_series_stays_inside_its_own_length() -> None:
    signal = batch(gaps=True)
    assert signal.mask is not None
    view = Reversal(chance=1.0)(signal, draws_for(len(LENGTHS)))
    assert view.mask is not None

    for row, length in enumerate(LENGTHS):
        assert view.values[row, :, :length].equal(signal.values[row, :, :length].flip(1))
        assert view.mask[row, :, :length].equal(signal.mask[row, :, :length].flip(1))
        assert not view.mask[row, :, length:].any()
    assert torch.equal(view.present, signal.present)
