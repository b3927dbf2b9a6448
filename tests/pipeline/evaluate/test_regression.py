"""Ridge in closed form against scikit-learn, and the rows of a regression probe on planted numbers."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error, r2_score

from pipeline.errors import DataError
from pipeline.evaluate.controls import ProbeInput
from pipeline.evaluate.group_folds import group_folds
from pipeline.evaluate.probe_config import ProbeConfig
from pipeline.evaluate.regression import RegressionRow, RegressionTask, regression_probe
from pipeline.evaluate.regression_config import RegressionConfig
from pipeline.evaluate.regression_lines import regression_lines
from pipeline.evaluate.ridge import Targets, choose_alpha, ridge_path

ALPHAS = (1e-3, 0.1, 1.0, 30.0)
PROBE = ProbeConfig(label_percents=(5, 100), draws=3)


def targets(rows: int = 240, columns: int = 12, noise: float = 1.0, seed: int = 0) -> Targets:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, columns)).astype(np.float32)
    y = x @ rng.normal(size=columns) + noise * rng.normal(size=rows) + 7.0
    return Targets(x, y.astype(np.float64), np.array([f"s{i % 8}" for i in range(rows)]))


def task_of(known: Targets) -> RegressionTask:
    """Groups s6 and s7 are the test split."""
    test = np.isin(known.groups, ["s6", "s7"])
    return RegressionTask("effort", known.y, known.groups, np.flatnonzero(~test), np.flatnonzero(test))


def probed(known: Targets, task: RegressionTask, seed: int = 0) -> list[RegressionRow]:
    config = RegressionConfig(targets=("effort",))
    given = ProbeInput("probe", "fused", known.x.astype(np.float32))
    return regression_probe(given, task, config=config, probe=PROBE, seed=seed)


@pytest.mark.parametrize("columns", [12, 400])
def test_the_path_is_that_of_scikit_learn(columns: int) -> None:
    known, new = targets(columns=columns), targets(columns=columns, seed=1)

    for model in ridge_path(known.x, known.y, ALPHAS):
        reference = Ridge(alpha=model.alpha * len(known.y)).fit(known.x.astype(np.float64), known.y)
        np.testing.assert_allclose(model.predict(new.x), reference.predict(new.x.astype(np.float64)), rtol=1e-6)


def test_alpha_is_the_one_of_lowest_error_on_held_out_groups() -> None:
    known = targets(rows=48, columns=40, noise=4.0)
    errors = dict.fromkeys(ALPHAS, 0.0)
    for train, held in group_folds(np.zeros(48, np.int64), known.groups, folds=4):
        for alpha in ALPHAS:
            model = Ridge(alpha=alpha * len(train)).fit(known.x[train].astype(np.float64), known.y[train])
            errors[alpha] += ((model.predict(known.x[held].astype(np.float64)) - known.y[held]) ** 2).sum()

    chosen = choose_alpha(known, ALPHAS, folds=4)

    assert chosen == min(errors, key=errors.__getitem__)
    assert chosen not in {ALPHAS[0], ALPHAS[-1]}
    assert choose_alpha(replace(known, groups=np.full(48, "s0")), ALPHAS, folds=4) is None


def test_a_row_scores_the_refit_on_the_test_split() -> None:
    known = targets()
    task = task_of(known)
    few, every = probed(known, task)

    model = Ridge(alpha=every.alphas[0] * len(task.train)).fit(known.x[task.train], known.y[task.train])
    predicted = model.predict(known.x[task.test])
    assert every.r2s == pytest.approx((r2_score(known.y[task.test], predicted),), abs=1e-4)
    assert every.maes == pytest.approx((mean_absolute_error(known.y[task.test], predicted),), abs=1e-4)
    assert (few.num_labels, every.num_labels, len(few.r2s)) == (9, 180, 3)
    assert every.r2_interval is not None
    assert every.mae_interval is not None
    assert every.r2_interval[0] <= every.r2s[0] <= every.r2_interval[1]
    assert every.mae_interval[0] <= every.maes[0] <= every.mae_interval[1]
    assert probed(known, task) == [few, every]


def test_rows_without_a_number_are_neither_learned_from_nor_scored() -> None:
    known = targets()
    hidden = known.y.copy()
    hidden[::2] = np.nan
    task = task_of(replace(known, y=hidden))
    kept = ~np.isnan(hidden)

    found = probed(known, task)

    assert found == probed(known.select(np.flatnonzero(kept)), task_of(known.select(np.flatnonzero(kept))))
    with pytest.raises(DataError, match="test split has fewer than two different numbers of effort"):
        probed(known, replace(task, values=np.where(np.isin(known.groups, ["s6", "s7"]), 1.0, known.y)))


def test_metrics_become_lines_of_the_table() -> None:
    known = targets()
    rows = probed(known, task_of(known))
    control = [replace(row, source="features") for row in rows]
    metrics = {name: value for row in rows + control for name, value in row.metrics().items()}

    few, every = regression_lines({"probe/fused/linear/100/accuracy": 1.0, **metrics})

    assert (every.target, every.streams, few.percent, every.percent) == ("effort", "fused", 5, 100)
    assert every.figures.keys() == {"probe", "features"}
    assert (every.figures["probe"].r2, every.figures["probe"].mae) == (rows[1].r2s[0], rows[1].maes[0])
    assert (every.figures["probe"].low, every.figures["probe"].high) == rows[1].r2_interval
    assert metrics["regression/effort/probe/fused/5/r2_sd"] > 0
