"""An anchor beside its neighbour, and nothing from outside the plan's rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.neighbour_batches import NeighbourBatches
from pipeline.data.plan import Plan
from pipeline.errors import ConfigError, DataError


@settings(derandomize=True, deadline=None)
@given(st.integers(2, 100), st.data(), st.integers(0, 10**4))
def test_every_anchor_comes_once_beside_its_neighbour(count: int, data: st.DataObject, epoch: int) -> None:
    anchors = Plan(np.arange(count) * 2, batch_size=data.draw(st.integers(1, count)), seed=1)
    plan = NeighbourBatches(anchors, lambda idx, epoch: (idx + 2 * epoch) % (2 * count))
    seen = np.concatenate([plan.batch(epoch, step) for step in range(plan.steps_per_epoch)]).reshape(-1, 2)

    assert len(set(seen[:, 0].tolist())) == len(seen) == anchors.steps_per_epoch * anchors.batch_size
    assert np.array_equal(seen[:, 1], (seen[:, 0] + 2 * epoch) % (2 * count))


def test_neighbours_of_other_splits_and_wrong_shapes_are_refused() -> None:
    anchors = Plan(np.arange(10), batch_size=5, seed=0)
    with pytest.raises(DataError, match="DATA_NEIGHBOUR"):
        NeighbourBatches(anchors, lambda idx, epoch: idx + 10).batch(0, 0)
    with pytest.raises(ConfigError, match="one neighbour"):
        NeighbourBatches(anchors, lambda idx, epoch: idx[:-1]).batch(0, 0)
