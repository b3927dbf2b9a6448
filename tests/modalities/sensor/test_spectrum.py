"""The spectrum that the frequency encoder reads: the transform of a loop, alike in short windows and with gaps."""

import cmath
import math

import pytest
import torch

from modalities.sensor.spectrum import Spectrum, amplitude_spectrum
from modalities.spec import Signal
from tests.modalities.sensor.sensor_batches import SCHEMA, STATISTICS, batch

STEPS = SCHEMA.max_steps


def loop(scores: list[float], seen: list[bool], frequency: int) -> float:
    """One channel's logarithmic amplitude, term by term."""
    known = [score for score, observed in zip(scores, seen, strict=True) if observed]
    mean = sum(known) / len(known)
    if frequency == 0:
        return math.log1p(abs(mean) * math.sqrt(len(known)))
    terms = [
        (score - mean) * cmath.exp(-2j * math.pi * frequency * step / STEPS)
        for step, (score, observed) in enumerate(zip(scores, seen, strict=True))
        if observed
    ]
    return math.log1p(abs(sum(terms)) / math.sqrt(len(known)))


def test_amplitudes_equal_the_loop_in_whole_and_short_windows_and_with_gaps() -> None:
    signal = batch(gaps=True)
    assert signal.mask is not None
    scores = signal.values.double() * signal.mask

    values, seen = amplitude_spectrum(scores, signal.mask, steps=STEPS)

    assert values.shape == (5, 6, STEPS // 2 + 1)
    assert seen.all()
    for row in range(5):
        for channel in (0, 2):
            series = scores[row, channel].tolist(), signal.mask[row, channel].tolist()
            expected = [loop(*series, frequency) for frequency in range(STEPS // 2 + 1)]
            assert values[row, channel].tolist() == pytest.approx(expected, abs=1e-6)


def test_a_constant_has_frequency_zero_alone_and_a_tone_its_own_whatever_the_window_holds() -> None:
    steps = torch.arange(STEPS, dtype=torch.float64)
    scores = torch.stack([torch.full((STEPS,), 3.0, dtype=torch.float64), (2 * math.pi * 6 * steps / STEPS).sin()])
    mask = torch.ones(2, 2, STEPS, dtype=torch.bool)
    mask[1, :, STEPS // 2 :] = False  # half as long

    values, _ = amplitude_spectrum(scores.expand(2, 2, STEPS) * mask, mask, steps=STEPS)

    assert values[:, 0, 1:].max() < 1e-7
    assert values[:, 0, 0].expm1().tolist() == pytest.approx([3 * STEPS**0.5, 3 * (STEPS / 2) ** 0.5])
    assert values[:, 1].argmax(dim=1).tolist() == [6, 6]
    assert values[:, 1].expm1().square().sum(dim=1).tolist() == pytest.approx([STEPS / 4, STEPS / 4], rel=0.02)


def test_a_channel_without_readings_has_no_spectrum_and_phase_does_not_matter() -> None:
    torch.manual_seed(0)
    encoder = Spectrum().build(SCHEMA, STATISTICS).eval()
    signal = batch().select(torch.tensor([0, 0]))
    assert signal.mask is not None
    shifted = torch.stack([signal.values[0], signal.values[1].roll(7, dims=1)])  # a circular shift
    mask = signal.mask.clone()
    mask[:, 4] = False

    whole = encoder(Signal(shifted, signal.mask, signal.present))
    _, seen = amplitude_spectrum(shifted * mask, mask, steps=STEPS)

    assert seen.any(dim=2).tolist() == [[True, True, True, True, False, True]] * 2
    torch.testing.assert_close(whole.pooled[0], whole.pooled[1], rtol=1e-4, atol=1e-4)
    assert (encoder(Signal(shifted * mask, mask, signal.present)).pooled - whole.pooled).abs().max() > 1e-3


def test_the_network_reads_the_spectrum_of_standard_scores_and_where_there_is_one() -> None:
    torch.manual_seed(0)
    encoder = Spectrum().build(SCHEMA, STATISTICS).eval()
    signal = batch(gaps=True)
    assert signal.mask is not None
    mask = signal.mask.clone()
    mask[:, 4] = False
    mean, std = (torch.tensor(STATISTICS[name])[:, None] for name in ("mean", "std"))
    scores = (signal.values - mean) / std * mask

    encoded = encoder(Signal(signal.values * mask, mask, signal.present))

    expected = encoder.network(Signal(*amplitude_spectrum(scores, mask, steps=STEPS), signal.present))
    torch.testing.assert_close(encoded.pooled, expected.pooled, rtol=1e-4, atol=1e-4)
