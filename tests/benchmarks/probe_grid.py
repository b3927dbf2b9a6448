"""The low-label grid of linear probes (6 percentages x 5 draws x every C x 3 folds), and scikit-learn's time for it.

    python -m tests.benchmarks.probe_grid [--features features.parquet --data FOLDER] [--columns 512] [--threads 1]

Without `--features` (a table of the probe stage) and `--data` (the data set it was made of): Gaussian classes of the
shape of UCI HAR, 7352 and 2947 rows, 30 groups, 6 classes. CPU seconds are of all threads together, so that they mean
something on a busy machine. scikit-learn does the first draw of each percentage: it fits every C on the same folds,
takes the C of lowest held-out loss and fits again to its optimum; `ratio` is its CPU seconds by ours for that draw.
`same C`: accuracy of scikit-learn's optimum at the C that was chosen here. Prints a table.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from pipeline.data.index import load_index
from pipeline.data.manifest import load_manifest
from pipeline.evaluate.features import made_by, read_features
from pipeline.evaluate.fusion import fuse, standardise
from pipeline.evaluate.group_folds import group_folds
from pipeline.evaluate.label_fractions import label_draws
from pipeline.evaluate.labelled import Labelled
from pipeline.evaluate.linear_probe import linear_probe
from pipeline.evaluate.probe import ProbeTask
from pipeline.evaluate.probe_config import ProbeConfig

PERCENTS = (1, 5, 10, 25, 50, 100)
CONFIG = ProbeConfig()
T = TypeVar("T")


def main() -> None:
    """Run the grid and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--label", default="activity")
    parser.add_argument("--group", default="subject")
    parser.add_argument("--columns", type=int, default=512)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with threadpool_limits(options.threads):
        if options.features:
            train, test = _real(options.features, options.data, options.label, options.group, options.columns)
        else:
            train, test = _gaussian(options.columns)
        print(f"{train.x.shape[0]} x {train.x.shape[1]}, {options.threads} of {os.cpu_count()} threads")
        _table(train, test)


def _table(train: Labelled, test: Labelled) -> None:
    print(f"{'labels':>6} {'draws':>5} {'CPU s':>7} {'wall s':>7} {'sklearn':>8} {'ratio':>6}", end=" ")
    print(f"{'accuracy':>8} {'same C':>7} {'sklearn':>8}   (first draw)")
    linear_probe(train.select(np.arange(0, len(train), 50)), test.x, CONFIG)  # what is loaded once is not counted
    total = np.zeros(2)
    for percent in PERCENTS:
        draws = [train.select(d.rows) for d in label_draws(train.y, percent=percent, draws=CONFIG.draws, seed=0)]
        timed = [_timed(lambda rows=rows: linear_probe(rows, test.x, CONFIG)) for rows in draws]
        cost = np.sum([(cpu, wall) for _, cpu, wall in timed], axis=0)
        total += cost
        prediction, own, _ = timed[0]
        (chosen, classes), theirs, _ = _timed(lambda rows=draws[0]: _reference(rows, test.x))
        same = classes if chosen == prediction.chosen else _optimum(draws[0], prediction.chosen, test.x)
        accuracies = [100 * np.mean(found == test.y) for found in (prediction.classes, same, classes)]
        print(
            f"{percent:>4} % {len(draws):>5} {cost[0]:7.2f} {cost[1]:7.2f} {theirs:8.2f} {theirs / own:6.1f}", end=" "
        )
        print("{:8.2f} {:7.2f} {:8.2f}".format(*accuracies), flush=True)
    print(f"all {total[0]:16.2f} {total[1]:7.2f}")


def _timed(run: Callable[[], T]) -> tuple[T, float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    return run(), time.process_time() - cpu, time.perf_counter() - wall


def _reference(rows: Labelled, x: np.ndarray) -> tuple[float, np.ndarray]:
    losses = dict.fromkeys(CONFIG.inverse_strengths, 0.0)
    folds = group_folds(rows.y, rows.groups, folds=CONFIG.folds)
    for train, held in folds:
        for c in CONFIG.inverse_strengths:
            model = LogisticRegression(C=c, max_iter=2000).fit(rows.x[train], rows.y[train])
            log_shares = log_softmax(model.decision_function(rows.x[held]), axis=1)
            losses[c] -= log_shares[np.arange(len(held)), rows.y[held]].sum()
    chosen = float(min(losses, key=losses.__getitem__)) if folds else CONFIG.default_inverse_strength
    return chosen, _optimum(rows, chosen, x)


def _optimum(rows: Labelled, c: float, x: np.ndarray) -> np.ndarray:
    model = LogisticRegression(C=c, tol=1e-9, max_iter=10_000).fit(rows.x.astype(np.float64), rows.y)
    return np.asarray(model.predict(x))


def _real(path: Path, folder: Path, label: str, group: str, columns: int) -> tuple[Labelled, Labelled]:
    index = load_index(folder, load_manifest(folder))
    features = read_features(path, encoder_hash=made_by(path))
    x = fuse(features, list(features.values), train=index.rows("train"))[:, :columns]
    labels, groups = index.labels(label), index.group(group).astype(str)
    return _sides(x, ProbeTask(labels, groups, index.rows("train"), index.rows("test"), int(labels.max()) + 1))


def _gaussian(columns: int) -> tuple[Labelled, Labelled]:
    """Class means and a shift of each group in 20 directions, which all columns mix, with noise."""
    rng = np.random.default_rng(0)
    y, groups = rng.integers(0, 6, 10_299), np.sort(rng.integers(0, 30, 10_299))
    z = rng.normal(size=(6, 20))[y] + 0.7 * rng.normal(size=(30, 20))[groups] + rng.normal(size=(len(y), 20))
    x = z @ rng.normal(size=(20, columns)) + 2 * rng.normal(size=(len(y), columns))
    train, test = np.arange(7352), np.arange(7352, len(y))
    return _sides(standardise(x, train), ProbeTask(y, groups.astype(str), train, test, 6))


def _sides(x: np.ndarray, task: ProbeTask) -> tuple[Labelled, Labelled]:
    return task.labelled(x, task.train), task.labelled(x, task.test)


if __name__ == "__main__":
    main()
