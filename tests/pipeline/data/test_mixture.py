"""Every batch of a mixture holds the same quota of every source, and each source its own exact epochs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.mixture import Mixture, MixtureSource, quotas
from pipeline.data.order_config import MixtureOrder
from pipeline.data.rows import RangeRows, rows_of
from pipeline.errors import ConfigError

exact = settings(derandomize=True, deadline=None)


@exact
@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=8), st.integers(1, 500))
def test_quotas_are_the_nearest_whole_shares(weights: list[float], batch_size: int) -> None:
    counts = np.array(quotas(weights, batch_size))
    shares = np.array(weights) / sum(weights) * batch_size

    assert counts.sum() == batch_size
    assert (np.abs(counts - shares) < 1).all()


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.data(), st.integers(0, 2**31))
def test_quotas_hold_in_every_batch_and_sources_run_through_exact_epochs(
    sizes: list[int], data: st.DataObject, seed: int
) -> None:
    offsets = np.cumsum([0, *sizes])[:-1].tolist()
    sources = [
        MixtureSource(RangeRows(0, size), data.draw(st.floats(1, 5)), offset)
        for size, offset in zip(sizes, offsets, strict=True)
    ]
    plan = Mixture(sources, batch_size=24, seed=seed, order=MixtureOrder(steps_per_epoch=5))
    batches = [plan.batch(epoch, step) for epoch in range(3) for step in range(5)]

    for number, (size, offset) in enumerate(zip(sizes, offsets, strict=True)):
        own = [batch[(batch >= offset) & (batch < offset + size)] for batch in batches]
        assert [len(part) for part in own] == [plan.quotas[number]] * 15
        times = np.bincount(np.concatenate(own) - offset, minlength=size)
        assert times.max() - times.min() <= 1
    assert plan.realised_weights == tuple(quota / 24 for quota in plan.quotas)


def test_sources_are_mixed_inside_a_batch_and_epochs_differ() -> None:
    sources = [MixtureSource(RangeRows(0, 1000), 1.0), MixtureSource(rows_of(np.arange(0, 900, 3)), 1.0, 1000)]
    plan = Mixture(sources, batch_size=100, seed=0, order=MixtureOrder(steps_per_epoch=10))
    batch = plan.batch(0, 0)

    assert abs(int((batch[:50] < 1000).sum()) - 25) < 12
    assert not np.array_equal(batch, plan.batch(1, 0))
    assert plan.batch(3, 7).tolist() == plan.batch(3, 7).tolist()


def test_a_source_without_a_share_and_steps_outside_are_refused() -> None:
    sources = [MixtureSource(RangeRows(0, 10), 1.0), MixtureSource(RangeRows(0, 10), 1e-6, 10)]
    with pytest.raises(ConfigError) as caught:
        Mixture(sources, batch_size=8, seed=0, order=MixtureOrder(steps_per_epoch=1))
    assert caught.value.field == "data.mix.1.weight"
    with pytest.raises(IndexError):
        Mixture(sources[:1], batch_size=8, seed=0, order=MixtureOrder(steps_per_epoch=1)).batch(0, 1)
