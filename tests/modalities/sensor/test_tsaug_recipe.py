"""Steps of tsaug on masked batches: right values, fresh numbers for every call, none of the faults of the library."""

import subprocess
import sys
import warnings
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from modalities.draws import Draws
from modalities.sensor.tsaug_recipe import (
    AddNoise,
    AnyTsaugStep,
    Convolve,
    Crop,
    Drift,
    Dropout,
    Pool,
    Quantize,
    Reverse,
    TimeWarp,
    TsaugRecipe,
)
from modalities.spec import Config, Signal

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import tsaug

STEPS: list[type[Config]] = list(get_args(get_args(AnyTsaugStep)[0]))
LENGTHS = (50, 50, 50, 50, 31, 31, 7, 3, 2, 1)


def batch(*, gaps: bool = False) -> Signal:
    """Smooth series (10, 3, 50) of different lengths; the last sample is absent."""
    steps = torch.arange(50) / 50
    rate = torch.arange(1, 34).reshape(11, 3, 1) / 4
    values = torch.sin(6.28 * rate * steps) * 2 + 5
    lengths = torch.tensor([*LENGTHS, 0])
    mask = (torch.arange(50) < lengths[:, None, None]).expand(11, 3, 50).clone()
    if gaps:
        mask[0, 1, 10:20] = False
        mask[1, 2] = False
        mask[4, 0, :5] = False
    return Signal(values * mask, mask, lengths > 0)


def draws(view: int = 0, rows: int = 11) -> Draws:
    return Draws.keyed(torch.arange(rows), seed=0, purpose="view", epoch=0, view=view)


def run(*steps: Config, signal: Signal | None = None, view: int = 0) -> Signal:
    given = batch() if signal is None else signal
    return TsaugRecipe(steps=steps)(given, draws(view, len(given)))  # type: ignore[arg-type]


def mask_of(signal: Signal) -> torch.Tensor:
    assert signal.mask is not None
    return signal.mask


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("gaps", [False, True])
def test_any_length_with_or_without_gaps_stays_finite_and_masked(step: type[Config], gaps: bool) -> None:
    signal = batch(gaps=gaps)
    found = run(step(), signal=signal)

    assert found.values.dtype == torch.float32
    assert found.values.isfinite().all()
    assert found.values[~mask_of(found)].abs().sum() == 0
    assert torch.equal(mask_of(found).any(dim=(1, 2)), signal.present)
    assert (mask_of(found) & (torch.arange(50) >= torch.tensor([*LENGTHS, 0])[:, None, None])).sum() == 0


@pytest.mark.parametrize("step", STEPS)
def test_every_call_has_its_own_numbers_and_repeats_with_its_draws(step: type[Config]) -> None:
    first, again, other = run(step()), run(step()), run(step(), view=1)

    assert torch.equal(first.values, again.values)
    assert not torch.equal(first.values, batch().values)
    if step not in (Convolve, Pool, Quantize, Reverse):  # those draw nothing
        assert not torch.equal(first.values, other.values)


def test_two_equal_steps_do_not_draw_the_same_numbers() -> None:
    """In the library, two augmenters with one seed are correlated at 0.999."""
    once = run(AddNoise()).values - batch().values
    both = run(AddNoise(), AddNoise()).values - batch().values
    second = (both - once)[:4].flatten()

    assert abs(torch.corrcoef(torch.stack([once[:4].flatten(), second]))[0, 1]) < 0.15


def test_who_is_changed_does_not_decide_how() -> None:
    """In the library, the first uniform numbers of the mask and of the parameters are the same."""
    signal = Signal(batch().values[:1].expand(4000, 3, 50).contiguous(), None, torch.ones(4000, dtype=torch.bool))
    found = run(Drift(chance=0.5, max_drift=1.0), signal=signal).values
    size = (found - signal.values).abs().amax(dim=2)[:, 0]
    chosen = size > 0
    alone = run(Drift(max_drift=1.0), signal=signal).values

    assert 0.45 < chosen.float().mean() < 0.55
    expected = (alone - signal.values).abs().amax(dim=2)[:, 0].mean()
    torch.testing.assert_close(size[chosen].mean(), expected, rtol=0.05, atol=0)


def test_global_generators_are_untouched() -> None:
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    run(AddNoise(), Drift(), TimeWarp())

    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


@pytest.mark.parametrize("step", [AddNoise, Drift, Dropout, Pool, Convolve, Quantize])
def test_a_gap_does_not_spoil_its_channel(step: type[Config]) -> None:
    """In the library, one NaN makes the whole channel NaN."""
    signal = batch(gaps=True)
    found = run(step(), signal=signal)
    change = (found.values - signal.values).abs()

    assert torch.equal(mask_of(found), mask_of(signal))
    assert change[0, 1, 20:].max() > 0
    assert change[mask_of(signal)].max() < 5


def test_neighbours_of_a_gap_see_a_bridge_not_zeros() -> None:
    """Smoothing leaves a straight line as it is, so also beside a bridged gap; zeros would pull it down by 67."""
    mask = torch.ones(1, 2, 40, dtype=torch.bool)
    mask[0, 0, 15:22] = False
    mask[0, 1] = False
    line = (torch.arange(40) + 200.0).expand(1, 2, 40) * mask
    found = run(Convolve(window="boxcar", size=3), signal=Signal(line, mask, torch.ones(1, dtype=torch.bool)))

    torch.testing.assert_close(found.values[:, :, 1:-1], line[:, :, 1:-1])
    assert torch.equal(mask_of(found), mask)


@pytest.mark.parametrize("step", [Crop, TimeWarp, Reverse])
def test_a_gap_moves_with_its_readings(step: type[Config]) -> None:
    """Every observed reading of the view lies between observed readings of the signal, never in the bridge."""
    values = torch.linspace(0, 1, 50).expand(40, 1, 50).clone()
    mask = torch.ones_like(values, dtype=torch.bool)
    mask[:, :, 12:22] = False
    signal = Signal(values * mask, mask, torch.ones(40, dtype=torch.bool))
    found = run(step(), signal=signal)
    seen = found.values[mask_of(found)]

    assert not ((seen > 11.02 / 49) & (seen < 21.98 / 49)).any()
    assert (~mask_of(found)).any(dim=2).float().mean() > 0.9
    assert not torch.equal(mask_of(found), mask)


@pytest.mark.parametrize("step", STEPS)
def test_a_constant_series_stays_what_it_is(step: type[Config]) -> None:
    signal = Signal(torch.full((4, 2, 20), 3.0), None, torch.ones(4, dtype=torch.bool))
    found = run(step(), signal=signal)

    limit = 0.5 if step is Quantize else 1e-5  # the only level of a constant is half a unit away
    assert (found.values - 3.0).abs().max() <= limit


def test_whole_numbers_are_not_truncated() -> None:
    """In the library, noise on an integer array is rounded towards zero."""
    counts = torch.arange(40).reshape(1, 1, 40)
    found = run(AddNoise(), signal=Signal(counts, None, torch.ones(1, dtype=torch.bool)))

    assert found.values.dtype == torch.float32
    assert (found.values != found.values.round()).float().mean() > 0.9


def test_a_crop_longer_than_the_series_cannot_be_asked_for() -> None:
    """The library says "a must be greater than 0"; here a part is a share of the series."""
    with pytest.raises(ValidationError, match="less than or equal to 1"):
        Crop(min_fraction=1.1)

    found = run(Crop(min_fraction=0.5))
    assert torch.equal(found.values[8:10], batch().values[8:10]), "two steps and one step are too short to cut"


@pytest.mark.parametrize(
    "fields", [{"kind": "quantize", "how": "kmeans"}, {"kind": "resize"}, {"kind": "convolve", "size": 4}]
)
def test_what_the_library_cannot_do_well_cannot_be_asked_for(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(AnyTsaugStep).validate_python(fields)


def test_quantile_levels_of_the_library_still_flatten_the_series() -> None:
    """The reason for leaving them out: 99 % of the range is lost. If this fails, they can be offered."""
    series = np.random.default_rng(0).normal(size=(1, 200, 1))
    found = tsaug.Quantize(n_levels=8, how="quantile", seed=0).augment(series)

    assert np.ptp(found) < 0.01 * np.ptp(series)


def test_quantize_leaves_the_asked_number_of_levels() -> None:
    found = run(Quantize(levels=4)).values

    assert len(found[0, 0].unique()) == 4


def test_reverse_turns_the_observed_part() -> None:
    found = run(Reverse()).values

    torch.testing.assert_close(found[4, :, :31], batch().values[4, :, :31].flip(1))
    assert found[4, :, 31:].abs().sum() == 0


def test_pool_is_piecewise_constant_and_keeps_means() -> None:
    found, before = run(Pool(size=5)).values[0], batch().values[0]

    torch.testing.assert_close(found, before.unflatten(1, (10, 5)).mean(2).repeat_interleave(5, dim=1))


def test_noise_has_the_asked_size_relative_to_the_range() -> None:
    signal = Signal(batch().values[:1].repeat(200, 1, 1), None, torch.ones(200, dtype=torch.bool))
    noise = run(AddNoise(scale=0.1), signal=signal).values - signal.values
    reach = (signal.values.amax(2) - signal.values.amin(2))[0]

    torch.testing.assert_close(noise.std(dim=(0, 2)), 0.1 * reach, rtol=0.05, atol=0)


def test_time_is_kept_only_where_every_step_keeps_it() -> None:
    moving = {Crop, Reverse, TimeWarp}

    for step in STEPS:
        recipe = TsaugRecipe(steps=(AddNoise(), step()))  # type: ignore[arg-type]
        assert recipe.keeps_time is (step not in moving)
    impulse = torch.zeros(1, 1, 41)
    impulse[0, 0, 20] = 1.0
    smooth = run(Convolve(size=5), signal=Signal(impulse, None, torch.ones(1, dtype=torch.bool))).values[0, 0]
    assert int(smooth.argmax()) == 20
    torch.testing.assert_close(smooth, smooth.flip(0))


def test_absent_samples_and_inputs_are_untouched() -> None:
    signal = batch()
    found = run(*[step() for step in STEPS], signal=signal)

    assert torch.equal(signal.values, batch().values)
    assert found.values[10].abs().sum() == 0
    assert not mask_of(found)[10].any()


def test_importing_and_running_it_warns_about_nothing() -> None:
    program = (
        "import torch\n"
        "from modalities.draws import Draws\n"
        "from modalities.sensor.tsaug_recipe import AddNoise, TsaugRecipe\n"
        "from modalities.spec import Signal\n"
        "signal = Signal(torch.rand(2, 1, 9), None, torch.ones(2, dtype=torch.bool))\n"
        "TsaugRecipe(steps=(AddNoise(),))(signal, Draws(torch.arange(2)))\n"
    )
    run_ = subprocess.run(
        [sys.executable, "-W", "always::DeprecationWarning", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )

    assert "scipy.ndimage" not in run_.stderr
