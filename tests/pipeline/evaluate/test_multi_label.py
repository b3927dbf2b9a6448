"""Scores of tag sets against scikit-learn, and the rows of a multi-label probe on planted tags."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, average_precision_score, f1_score

from pipeline.errors import DataError
from pipeline.evaluate.controls import ProbeInput
from pipeline.evaluate.group_intervals import group_resamples
from pipeline.evaluate.multi_label import MultiLabelRow, MultiLabelTask, multi_label_probe
from pipeline.evaluate.multi_label_lines import multi_label_lines
from pipeline.evaluate.one_vs_rest import Tagged, one_vs_rest_probe
from pipeline.evaluate.probe_config import ProbeConfig
from pipeline.evaluate.tag_scores import resampled_map, tag_intervals, tag_scores

PROBE = ProbeConfig(label_percents=(5, 100), draws=3, inverse_strengths=(0.01, 1.0))
GROUPS = np.array([f"s{i % 8}" for i in range(400)])
ROWS = np.arange(400)
HELD = np.isin(GROUPS, ["s6", "s7"])


def planted(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(400, 8)).astype(np.float32)
    return x, x[:, :4] + 0.5 * rng.normal(size=(400, 4)) > np.array([0.0, 0.5, 1.0, 1.5])


def task_of(tags: np.ndarray) -> MultiLabelTask:
    known = np.ones(len(tags), np.bool_)
    return MultiLabelTask("acts", ("a", "b", "c", "d"), tags, known, GROUPS, ROWS[~HELD], ROWS[HELD])


def probed(x: np.ndarray, task: MultiLabelTask, source: str = "probe") -> list[MultiLabelRow]:
    return multi_label_probe(ProbeInput(source, "fused", x), task, config=PROBE, seed=0)


def test_scores_are_those_of_scikit_learn_over_the_tags_that_occur() -> None:
    rng = np.random.default_rng(0)
    tags = rng.random((60, 5)) < 0.4
    probabilities = np.clip(0.5 * tags + 0.7 * rng.random((60, 5)), 0, 1)
    guess = probabilities > 0.5
    tags[:, 3] = False  # is never there, but predicted

    found = tag_scores(probabilities, tags)

    occurring = [0, 1, 2, 4]
    assert found.f1_macro == pytest.approx(f1_score(tags[:, occurring], guess[:, occurring], average="macro"))
    assert found.f1_micro == pytest.approx(f1_score(tags, guess, average="micro"))
    expected = average_precision_score(tags[:, occurring], probabilities[:, occurring], average="macro")
    assert found.map == pytest.approx(expected)
    assert found.subset_accuracy == pytest.approx(accuracy_score(tags, guess))


def test_intervals_are_of_resampled_groups() -> None:
    tags = planted()[1]
    probabilities = np.clip(0.6 * tags + 0.5 * np.random.default_rng(1).random(tags.shape), 0, 1)
    member = np.unique(GROUPS, return_inverse=True)[1]
    times = np.random.default_rng(3).multinomial(8, np.full(8, 1 / 8), size=2000)
    macros, micros, precisions = [], [], []
    for counts in times[:400]:
        rows = np.concatenate([np.repeat(np.flatnonzero(member == g), n) for g, n in enumerate(counts)])
        macros.append(f1_score(tags[rows], probabilities[rows] > 0.5, average="macro"))
        micros.append(f1_score(tags[rows], probabilities[rows] > 0.5, average="micro"))
        precisions.append(average_precision_score(tags[rows], probabilities[rows], average="macro"))

    found = tag_intervals([probabilities], tags, GROUPS, rng=np.random.default_rng(3))

    assert found.keys() == {"f1_macro", "f1_micro", "map"}
    for name, values in (("f1_macro", macros), ("f1_micro", micros), ("map", precisions)):
        assert found[name] == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])), abs=0.01)
    assert tag_intervals([probabilities], tags, np.full(400, "s0"), rng=np.random.default_rng(3)) == {}


def test_the_precision_of_every_resample_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    groups = np.array([f"s{i}" for i in rng.integers(0, 5, 60)])
    tags = rng.random((60, 3)) < 0.3
    tags[groups != "s2", 2] = False  # a tag that many resamples lack
    probabilities = np.round(np.clip(0.3 * tags + 0.7 * rng.random((60, 3)), 0, 1), 1)  # with ties
    found = group_resamples(groups, rng=rng, resamples=40)
    assert found is not None
    member, times = found
    expected = []
    for counts in times:
        rows = np.repeat(np.arange(60), counts[member])
        own = tags[rows].any(axis=0)
        expected.append(average_precision_score(tags[rows][:, own], probabilities[rows][:, own], average="macro"))

    assert resampled_map(probabilities, tags, member, times, block=7 * 60) == pytest.approx(np.array(expected))
    assert 0 < (times[:, 2] == 0).sum() < 40


def test_a_row_scores_the_refit_on_the_test_split() -> None:
    x, tags = planted()
    task = task_of(tags)

    few, every = probed(x, task)

    found = one_vs_rest_probe(Tagged(x[~HELD], tags[~HELD], GROUPS[~HELD]), x[HELD], PROBE)
    expected = tag_scores(found.probabilities, tags[HELD])
    assert every.scores == (expected,)
    assert expected.f1_macro > 0.6
    assert (few.num_labels, every.num_labels, len(few.scores)) == (15, 300, 3)
    for name in ("f1_macro", "f1_micro", "map", "subset_accuracy"):
        low, high = every.intervals[name]
        assert low - 1e-6 <= getattr(expected, name) <= high + 1e-6, "scores are float32"
    assert every.samples.mean() == pytest.approx(expected.subset_accuracy)
    assert probed(x, task) == [few, every]


def test_unlabelled_samples_are_neither_learned_from_nor_scored() -> None:
    x, tags = planted()
    known = ROWS % 3 > 0
    task = replace(task_of(tags), known=known)
    hidden = replace(task, tags=np.where(known[:, None], tags, ~tags))

    assert probed(x, hidden) == probed(x, task)
    assert probed(x, task)[1].num_labels == (known & ~HELD).sum()
    with pytest.raises(DataError, match="no sample of the test split has a tag of acts"):
        probed(x, replace(task, tags=tags & ~HELD[:, None]))


def test_metrics_become_lines_of_the_table() -> None:
    x, tags = planted()
    rows = [*probed(x, task_of(tags)), *probed(x, task_of(tags), "features")]
    metrics = {name: value for row in rows for name, value in row.metrics().items()}

    few, every = multi_label_lines({"regression/acts/probe/fused/100/r2": 1.0, **metrics})

    assert (every.target, every.streams, few.percent, every.percent) == ("acts", "fused", 5, 100)
    assert every.figures.keys() == {"probe", "features"}
    own, score = every.figures["probe"], rows[1].scores[0]
    assert (own.map, own.f1_macro, own.f1_micro) == (score.map, score.f1_macro, score.f1_micro)
    assert (own.map_interval, own.f1_interval) == (rows[1].intervals["map"], rows[1].intervals["f1_macro"])
    assert own.subset_accuracy == score.subset_accuracy
    assert metrics["multi_label/acts/probe/fused/5/map_sd"] > 0
