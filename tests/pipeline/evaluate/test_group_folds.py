import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluate.group_folds import group_folds


@given(
    pairs=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6)), min_size=1, max_size=60), folds=st.integers(2, 5)
)
def test_folds_partition_the_rows_and_share_no_group(pairs, folds):
    y = np.array([label for label, _ in pairs])
    groups = np.array([f"g{group}" for _, group in pairs])
    found = group_folds(y, groups, folds=folds)

    for train, held in found:
        assert not set(groups[train]) & set(groups[held])
        assert sorted([*train, *held]) == list(range(len(y)))
    if found:
        assert sorted(row for _, held in found for row in held) == list(range(len(y)))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6)), min_size=1, max_size=60))
def test_there_are_folds_exactly_where_every_class_has_two_groups(pairs):
    y = np.array([label for label, _ in pairs])
    groups = np.array([f"g{group}" for _, group in pairs])
    enough = all(len(set(groups[y == k])) >= 2 for k in set(y.tolist()))

    assert bool(group_folds(y, groups, folds=3)) == enough


def test_classes_are_balanced_over_folds():
    rng = np.random.default_rng(0)
    groups = np.repeat([f"s{i:02d}" for i in range(30)], 20)
    y = np.concatenate([rng.choice(3, 20, p=rng.dirichlet([0.5] * 3)) for _ in range(30)])

    for _, held in group_folds(y, groups, folds=3):
        shares = np.bincount(y[held], minlength=3) / np.bincount(y)
        assert (np.abs(shares - 1 / 3) < 0.12).all()
