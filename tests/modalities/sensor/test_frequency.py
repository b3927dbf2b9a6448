import torch

from modalities.sensor.frequency import FrequencyPerturbation
from modalities.spec import Signal
from tests.modalities.sensor.sensor_batches import batch, draws_for


def amplitudes(values: torch.Tensor) -> torch.Tensor:
    return torch.fft.rfft(values, dim=2).abs()


def test_some_frequencies_go_and_the_others_stay() -> None:
    signal = batch().select(torch.zeros(40, dtype=torch.long))
    before = amplitudes(signal.values)

    after = amplitudes(FrequencyPerturbation(removed=0.25, added=0)(signal, draws_for(40)).values)

    gone = after[:, :, 1:] < 1e-3
    assert 0.22 < gone.float().mean() < 0.28
    torch.testing.assert_close(after[:, :, 1:][~gone], before[:, :, 1:][~gone], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(after[:, :, 0], before[:, :, 0], rtol=1e-4, atol=1e-3)  # the mean


def test_some_frequencies_grow_by_at_most_their_share_of_the_largest() -> None:
    signal = batch().select(torch.zeros(40, dtype=torch.long))
    before = amplitudes(signal.values)[:, :, 1:-1]

    after = amplitudes(FrequencyPerturbation(removed=0, added=0.25, strength=0.5)(signal, draws_for(40)).values)

    more = (after[:, :, 1:-1] - before) / before.amax(dim=2, keepdim=True)
    assert more.min() > -1e-3
    assert 0.48 < more.max() < 0.5 + 1e-3
    assert 0.2 < (more > 1e-3).float().mean() < 0.28


def test_strength_bounds_what_is_added_and_chance_who_is_changed() -> None:
    signal = batch().select(torch.zeros(40, dtype=torch.long))
    before = amplitudes(signal.values)[:, :, 1:-1]
    weak = FrequencyPerturbation(removed=0, added=1, strength=0.1)(signal, draws_for(40))
    some = FrequencyPerturbation(removed=0.5, added=0, chance=0.5)(signal, draws_for(40))

    more = (amplitudes(weak.values)[:, :, 1:-1] - before) / before.amax(dim=2, keepdim=True)
    changed = (some.values != signal.values).flatten(1).any(dim=1)

    assert 0.09 < more.max() < 0.1 + 1e-3
    assert 10 < changed.sum() < 30


def test_what_gaps_hold_does_not_matter_and_channels_draw_apart() -> None:
    signal = batch(gaps=True)
    assert signal.mask is not None
    filled = Signal(torch.where(signal.mask, signal.values, 50.0), signal.mask, signal.present)
    perturb = FrequencyPerturbation(removed=0.3, added=0.3)

    found = perturb(signal, draws_for(len(signal)))

    torch.testing.assert_close(perturb(filled, draws_for(len(signal))).values, found.values)
    equal = batch().values[:, :1].expand(-1, 6, -1).contiguous()
    apart = perturb(Signal(equal, None, signal.present), draws_for(len(signal))).values
    assert not torch.allclose(apart[:, 0], apart[:, 1], atol=1e-3)
