from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from pipeline.errors import DataError
from pipeline.evaluate.group_folds import group_folds
from pipeline.evaluate.labelled import Labelled
from pipeline.evaluate.linear_probe import choose_inverse_strength, linear_probe
from pipeline.evaluate.probe import ProbeConfig, ProbeTask, probe

CONFIG = ProbeConfig(label_percents=(5, 100), draws=3)


def labelled(rows: int = 240, columns: int = 10, noise: float = 1.0, seed: int = 0) -> Labelled:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, rows)
    x = rng.normal(size=(3, columns))[y] + noise * rng.normal(size=(rows, columns))
    return Labelled(x.astype(np.float32), y, np.array([f"s{i % 8}" for i in range(rows)]), 3)


def task_of(rows: Labelled) -> ProbeTask:
    """Groups s6 and s7 are the test split."""
    test = np.isin(rows.groups, ["s6", "s7"])
    return ProbeTask(rows.y, rows.groups, np.flatnonzero(~test), np.flatnonzero(test), rows.num_classes)


def test_c_is_the_one_of_lowest_held_out_loss():
    rows = labelled(noise=2.0)
    config = ProbeConfig(inverse_strengths=(1e-3, 1e-2, 1e-1, 1.0), folds=4)
    losses = {}
    for c in config.inverse_strengths:
        total = 0.0
        for train, held in group_folds(rows.y, rows.groups, folds=4):
            model = LogisticRegression(C=c, tol=1e-8, max_iter=5000).fit(rows.x[train], rows.y[train])
            total -= model.predict_log_proba(rows.x[held])[np.arange(len(held)), rows.y[held]].sum()
        losses[c] = total

    best = min(losses, key=losses.__getitem__)
    assert choose_inverse_strength(rows, config) == (best, pytest.approx(losses[best] / len(rows), rel=1e-3))


def test_the_prediction_is_the_refit_on_all_labelled_rows():
    train, new = labelled(), labelled(seed=1)
    prediction = linear_probe(train, new.x, ProbeConfig())
    reference = LogisticRegression(C=prediction.chosen, tol=1e-10, max_iter=10000).fit(train.x, train.y)

    assert (prediction.classes == reference.predict(new.x)).all()


def test_one_shot_uses_the_default_and_the_row_says_so():
    rows = labelled(60)
    (row,) = probe(
        rows.x, task_of(rows), subset="imu", config=ProbeConfig(methods=("linear",), label_percents=(1,)), seed=0
    )

    assert (row.num_labels, row.shots, row.validated) == (3, 1, False)
    assert set(row.chosen) == {1.0}
    assert row.metrics()["probe/imu/linear/1/shots"] == 1
    assert "probe/imu/linear/1/validation_loss" not in row.metrics()


def test_the_score_is_that_of_the_test_rows_only():
    rows = labelled(noise=0.3)
    task = task_of(rows)
    wrong = replace(task, labels=np.where(np.isin(np.arange(len(rows)), task.test), (rows.y + 1) % 3, rows.y))

    assert all(row.accuracy > 0.95 for row in probe(rows.x, task, subset="a", config=CONFIG, seed=0))
    assert all(row.accuracy < 0.05 for row in probe(rows.x, wrong, subset="a", config=CONFIG, seed=0))


def test_test_labels_never_reach_the_fit():
    rows = labelled(noise=2.0)
    task = task_of(rows)
    shuffled = task.labels.copy()
    shuffled[task.test] = np.random.default_rng(0).permutation(shuffled[task.test])

    chosen = [
        [
            (row.chosen, row.held_out)
            for row in probe(rows.x, replace(task, labels=labels), subset="a", config=CONFIG, seed=0)
        ]
        for labels in (task.labels, shuffled)
    ]
    assert chosen[0] == chosen[1]


def test_unlabelled_rows_take_no_part():
    rows = labelled()
    task = task_of(rows)
    labels = task.labels.copy()
    labels[task.train[::2]] = labels[task.test[::2]] = -1
    disturbed = rows.x.copy()
    disturbed[labels < 0] = 1e3

    clean, dirty = (
        probe(x, replace(task, labels=labels), subset="a", config=CONFIG, seed=0) for x in (rows.x, disturbed)
    )
    assert [row.accuracies for row in clean] == [row.accuracies for row in dirty]
    assert clean[0].confusion.sum() == 3 * (labels[task.test] >= 0).sum()


def test_the_same_labels_are_drawn_for_every_feature_table():
    rows = labelled(noise=2.0)
    config = ProbeConfig(label_percents=(5,), draws=4)
    first = probe(rows.x, task_of(rows), subset="a", config=config, seed=0)
    turned = rows.x @ np.linalg.qr(np.random.default_rng(0).normal(size=(10, 10)))[0]  # the same geometry
    second = probe(turned, task_of(rows), subset="imu-skeleton", config=config, seed=0, source="features")

    for a, b in zip(first, second, strict=True):
        assert a.accuracies == pytest.approx(b.accuracies, abs=0.02)
    assert len(set(first[0].accuracies)) > 1


def test_metric_names_follow_the_contract():
    rows = labelled(60)
    config = ProbeConfig(label_percents=(100,), draws=1)
    own, control = (
        [row.metrics() for row in probe(rows.x, task_of(rows), subset="imu-skeleton", config=config, seed=0, source=s)]
        for s in ("probe", "random_init")
    )
    own, control = ({name for metrics in found for name in metrics} for found in (own, control))

    for key in ("accuracy", "accuracy_sd", "f1_macro", "recall_min", "accuracy_low", "accuracy_high"):
        assert f"probe/imu-skeleton/linear/100/{key}" in own
        assert f"probe/imu-skeleton/knn/100/{key}" in own
        assert f"control/random_init/imu-skeleton/100/{key}" in control


def test_no_labels_is_an_error_with_both_numbers():
    rows = labelled(60)
    task = replace(task_of(rows), labels=np.full(60, -1))

    with pytest.raises(DataError, match=r"DATA_LABEL.*at least 1.*none labelled"):
        probe(rows.x, task, subset="a", config=CONFIG, seed=0)
