"""Views: the same draws give the same view, in any batch, and padding or gaps never turn into readings."""

from typing import get_args

import pytest
import torch

from modalities.compose import Compose
from modalities.sensor.amplitude import ChannelDropout, FrequencyMask, Jitter, Rotation, Scaling, TimeMask
from modalities.sensor.augment import AnySensorTransform
from modalities.sensor.frequency import FrequencyPerturbation
from modalities.sensor.masking import observed_steps
from modalities.sensor.stream import SensorStream
from modalities.sensor.timing import CropResize, Permutation, TimeShift, TimeWarp
from modalities.sensor.tsaug_recipe import TsaugRecipe
from modalities.spec import Augment, Signal
from tests.modalities.sensor.sensor_batches import LENGTHS, SCHEMA, batch, draws_for

OURS = [kind for kind in get_args(get_args(AnySensorTransform)[0]) if kind is not TsaugRecipe]  # it has its own tests
TRANSFORMS = [kind() for kind in OURS]
RARE = [kind(chance=0.5) for kind in OURS]
EVERY = [*TRANSFORMS, *RARE, Compose(SensorStream().augment)]

every = pytest.mark.parametrize("transform", EVERY, ids=lambda t: f"{getattr(t, 'kind', 'compose')}")


def ramp(length: int, *, total: int = 40) -> Signal:
    """A reading equal to its step, in every channel."""
    steps = torch.arange(total, dtype=torch.float32)
    mask = (steps < length).expand(1, 3, total)
    return Signal(steps * mask, mask, torch.ones(1, dtype=torch.bool))


@every
def test_same_draws_same_view_and_other_draws_another(transform: Augment) -> None:
    signal = batch()
    first, again = transform(signal, draws_for(5)), transform(signal, draws_for(5))
    other = transform(signal, draws_for(5, view=1))

    assert first.values.equal(again.values)
    assert not (first.values.equal(other.values) and bool((first.mask == other.mask).all()))  # type: ignore[union-attr]


@every
def test_a_sample_alone_gives_what_it_gives_in_a_batch(transform: Augment) -> None:
    signal, rows = batch(gaps=True), torch.tensor([2])
    together = transform(signal, draws_for(5)).select(rows)
    alone = transform(signal.select(rows), draws_for(5).select(rows))

    torch.testing.assert_close(alone.values, together.values, rtol=1e-6, atol=1e-6)
    assert alone.mask.equal(together.mask)  # type: ignore[union-attr]


@every
def test_shape_is_kept_and_unobserved_entries_stay_zero(transform: Augment) -> None:
    signal = batch(gaps=True)
    view = transform(signal, draws_for(5))

    assert view.values.shape == signal.values.shape
    assert view.mask is not None
    assert view.values[~view.mask].eq(0).all()
    assert view.values.isfinite().all()
    assert view.mask.flatten(1).any(dim=1).all()
    assert (observed_steps(view.mask) <= torch.tensor(LENGTHS)).all()


@every
def test_input_is_left_alone_and_a_missing_mask_means_all_observed(transform: Augment) -> None:
    signal = batch().select(torch.tensor([0]))
    values = signal.values.clone()
    view = transform(signal, draws_for(1))
    bare = transform(Signal(signal.values, None, signal.present), draws_for(1))

    assert signal.values.equal(values)
    assert bare.values.equal(view.values)


@every
def test_absent_samples_stay_empty(transform: Augment) -> None:
    signal = batch()
    nothing = Signal(torch.zeros_like(signal.values), torch.zeros_like(signal.values, dtype=torch.bool), signal.present)
    view = transform(nothing, draws_for(5))

    assert view.values.eq(0).all()
    assert not view.mask.any()  # type: ignore[union-attr]


@every
def test_transforms_that_claim_to_keep_time_do(transform: Augment) -> None:
    later = ramp(30).values.clone()
    later[:, :, 20:] += 50.0
    base = transform(ramp(30), draws_for(1)).values[:, :, :10]
    changed = transform(Signal(later, ramp(30).mask, ramp(30).present), draws_for(1)).values[:, :, :10]
    local = not isinstance(
        transform, (FrequencyMask, FrequencyPerturbation, Jitter)
    )  # their strength depends on the whole window
    if transform.keeps_time and local:
        torch.testing.assert_close(changed, base)


def test_rotation_keeps_lengths_and_the_angle_between_triples() -> None:
    signal = batch()
    view = Rotation(max_angle_deg=180)(signal, draws_for(5))
    before, after = (values.reshape(5, 2, 3, -1) for values in (signal.values, view.values))

    assert not torch.allclose(before, after)
    torch.testing.assert_close(after.norm(dim=2), before.norm(dim=2))
    products = [(values[:, 0] * values[:, 1]).sum(dim=1) for values in (before, after)]
    torch.testing.assert_close(products[1], products[0], atol=1e-4, rtol=1e-4)


def test_rotation_about_an_axis_leaves_that_axis() -> None:
    signal = batch()
    view = Rotation(max_angle_deg=90, axis=(0.0, 1.0, 0.0))(signal, draws_for(5))

    torch.testing.assert_close(view.values[:, [1, 4]], signal.values[:, [1, 4]])
    assert not torch.allclose(view.values[:, 0], signal.values[:, 0])


def test_rotation_hides_a_triple_where_one_axis_is_missing() -> None:
    signal = batch(gaps=True)
    view = Rotation()(signal, draws_for(5))

    assert not view.mask[0, :3, 3:6].any()  # type: ignore[index]
    assert view.mask[0, 3:, 3:6].all()  # type: ignore[index]


def test_rotation_refuses_channels_without_triples() -> None:
    signal = Signal(torch.zeros(2, 4, 8), None, torch.ones(2, dtype=torch.bool))
    with pytest.raises(ValueError, match="triples"):
        Rotation()(signal, draws_for(2))
    with pytest.raises(ValueError, match="below 4"):
        Rotation(triples=((0, 1, 4),))(signal, draws_for(2))


def test_crops_are_parts_of_the_observed_length() -> None:
    kept = CropResize(min_fraction=0.5, resize=False)(ramp(20), draws_for(1))
    part = kept.values[0, 0][kept.mask[0, 0]]  # type: ignore[index]

    assert 10 <= len(part) <= 20
    torch.testing.assert_close(part.diff(), torch.ones(len(part) - 1))
    assert part.max() <= 19
    stretched = CropResize(min_fraction=0.5)(ramp(20), draws_for(1)).values[0, 0, :20]
    assert stretched.diff().min() >= 0.4
    assert stretched.max() <= 19.0


def test_time_warp_is_monotone_and_keeps_both_ends() -> None:
    warped = TimeWarp(strength=0.8)(ramp(30), draws_for(1)).values[0, 0]

    assert (warped[:30].diff() > 0).all()
    torch.testing.assert_close(warped[[0, 29]], torch.tensor([0.0, 29.0]), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(warped[:30], torch.arange(30.0), atol=0.5)


@pytest.mark.parametrize("length", [1, 2, 7, 20, 40])
@pytest.mark.parametrize("transform", [Permutation(max_segments=5), TimeShift()], ids=["permutation", "time_shift"])
def test_reordering_keeps_the_set_of_readings(transform: Augment, length: int) -> None:
    view = transform(ramp(length), draws_for(1)).values[0, 0, :length]

    assert view.sort().values.equal(torch.arange(float(length)))


def test_permutation_moves_whole_segments() -> None:
    view = Permutation(max_segments=4)(ramp(40), draws_for(1)).values[0, 0]

    assert (view.diff() != 1).sum() <= 3


def test_noise_follows_the_deviation_inside_the_window() -> None:
    signal = batch()
    louder = Signal(signal.values * torch.tensor([1.0, 10, 1, 1, 1, 1])[:, None], signal.mask, signal.present)
    noise = Jitter()(signal, draws_for(5)).values - signal.values
    loud_noise = Jitter()(louder, draws_for(5)).values - louder.values

    torch.testing.assert_close(loud_noise[:, 1], 10 * noise[:, 1], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(loud_noise[:, 0], noise[:, 0])


def test_centred_scaling_keeps_the_mean_of_the_window() -> None:
    signal = batch()
    view = Scaling(centred=True, strength=0.5)(signal, draws_for(5))

    torch.testing.assert_close(view.values.sum(dim=2), signal.values.sum(dim=2), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(view.values[0], signal.values[0])


def test_channel_dropout_hides_groups_and_leaves_one() -> None:
    view = ChannelDropout(rate=0.99, group_size=3)(batch(), draws_for(5))
    shown = view.mask[0].any(dim=1)  # type: ignore[index]

    assert shown.reshape(2, 3).sum(dim=1).sort().values.tolist() == [0, 3]


def test_time_mask_hides_at_most_its_share() -> None:
    view = TimeMask(max_fraction=0.3, spans=2)(ramp(40), draws_for(1))
    hidden = 40 - int(view.mask[0, 0].sum())  # type: ignore[index]

    assert 0 < hidden <= 24


def test_frequency_mask_removes_energy_but_not_the_mean() -> None:
    signal = batch().select(torch.tensor([0]))
    view = FrequencyMask(max_fraction=0.9, low_weighted=True)(signal, draws_for(1))

    torch.testing.assert_close(view.values.mean(dim=2), signal.values.mean(dim=2), atol=1e-4, rtol=1e-4)
    assert view.values.var() < signal.values.var()


def test_chance_changes_about_its_share_of_the_samples() -> None:
    signal = batch().select(torch.zeros(400, dtype=torch.long))
    view = Scaling(chance=0.25)(signal, draws_for(400))
    changed = (view.values != signal.values).flatten(1).any(dim=1).float().mean()

    assert 0.17 < float(changed) < 0.33


def test_default_stream_fits_its_schema() -> None:
    modality = SensorStream().modality(SCHEMA, {"mean": [0.0] * 6, "std": [1.0] * 6})

    assert modality.augment.keeps_time is False
    assert Compose([Jitter(), Scaling()]).keeps_time is True
