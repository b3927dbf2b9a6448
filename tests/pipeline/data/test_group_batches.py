"""P x K batches hold exactly P groups with K samples each, and use groups and members evenly."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.group_batches import GroupBatches
from pipeline.data.order_config import GroupOrder
from pipeline.errors import ConfigError


def _order(each: int = 2, steps: int = 10) -> GroupOrder:
    return GroupOrder(column="subject", samples_per_group=each, steps_per_epoch=steps)


@settings(derandomize=True, deadline=None)
@given(st.lists(st.integers(2, 12), min_size=2, max_size=12), st.data(), st.integers(0, 2**31), st.integers(0, 10**6))
def test_a_batch_is_p_groups_of_k(sizes: list[int], data: st.DataObject, seed: int, epoch: int) -> None:
    each = data.draw(st.integers(2, min(sizes)))
    num_groups = data.draw(st.integers(1, len(sizes)))
    groups = np.repeat([f"s{i}" for i in range(len(sizes))], sizes)
    idx = np.arange(len(groups)) * 3 + 1
    plan = GroupBatches(idx, groups, batch_size=num_groups * each, seed=seed, order=_order(each))

    for step in range(plan.steps_per_epoch):
        batch = plan.batch(epoch, step)
        of_group = Counter(groups[(batch - 1) // 3].tolist())
        assert len(set(batch.tolist())) == num_groups * each
        assert list(of_group.values()) == [each] * num_groups


def test_groups_and_members_are_used_evenly_and_in_another_order_each_time() -> None:
    groups = np.repeat(["a", "b", "c", "d", "e", "f"], [8, 8, 8, 8, 8, 8])
    plan = GroupBatches(np.arange(48), groups, batch_size=6, seed=0, order=_order(2, steps=400))
    batches = [plan.batch(0, step) for step in range(400)]
    times = np.bincount(np.concatenate(batches), minlength=48)

    assert times.tolist() == [50] * 48
    assert len({tuple(batch.tolist()) for batch in batches}) > 390
    assert len({frozenset(groups[batch].tolist()) for batch in batches}) == 20


def test_small_and_unknown_groups_take_no_part_and_are_counted() -> None:
    groups = np.array(["a", "a", "a", "b", "", "", "c", "c"])
    plan = GroupBatches(np.arange(8), groups, batch_size=4, seed=0, order=_order())
    seen = {int(i) for step in range(10) for i in plan.batch(0, step)}

    assert plan.left_out == 3
    assert seen == {0, 1, 2, 6, 7}


@pytest.mark.parametrize(("batch_size", "each", "word"), [(5, 2, "divide"), (6, 2, "groups"), (4, 4, "groups")])
def test_impossible_batches_are_refused(batch_size: int, each: int, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        GroupBatches(np.arange(6), np.array(list("aaabbb"))[:6], batch_size=batch_size, seed=0, order=_order(each))


def test_steps_outside_the_epoch_are_refused() -> None:
    plan = GroupBatches(np.arange(4), np.array(list("aabb")), batch_size=4, seed=0, order=_order())
    with pytest.raises(IndexError):
        plan.batch(0, 10)
