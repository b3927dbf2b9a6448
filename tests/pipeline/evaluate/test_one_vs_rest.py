"""The one-vs-rest probe against scikit-learn's, and its choice of C on held-out groups."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from pipeline.evaluate.group_folds import tag_folds
from pipeline.evaluate.logistic import one_vs_rest_path, principal_axes
from pipeline.evaluate.one_vs_rest import Tagged, choose_inverse_strength, one_vs_rest_probe
from pipeline.evaluate.probe_config import ProbeConfig

STRENGTHS = (1e-3, 0.1, 10.0)
CONFIG = ProbeConfig(inverse_strengths=STRENGTHS, folds=3)


def tagged(rows: int = 160, columns: int = 6, noise: float = 1.0, seed: int = 0) -> Tagged:
    """Three tags that depend on the features, each a little."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, columns)).astype(np.float32)
    tags = x @ np.random.default_rng(9).normal(size=(columns, 3)) + noise * rng.normal(size=(rows, 3)) > 0.5
    return Tagged(x, tags, np.array([f"s{i % 8}" for i in range(rows)]))


def reference(known: Tagged, x: np.ndarray, c: float) -> np.ndarray:
    """A binary regression of each tag, by scikit-learn."""
    rows, new = known.x.astype(np.float64), x.astype(np.float64)
    fit = LogisticRegression(C=c, tol=1e-10, max_iter=5000, solver="newton-cg").fit
    return np.stack([fit(rows, tags).predict_proba(new)[:, 1] for tags in known.tags.T], axis=1)


@pytest.mark.parametrize("columns", [6, 300])
def test_every_tag_is_a_binary_regression_of_its_own(columns: int) -> None:
    known, new = tagged(columns=columns), tagged(columns=columns, seed=1)
    axes = principal_axes(known.x)

    for model in one_vs_rest_path(axes.rotate(known.x), known.tags, inverse_strengths=STRENGTHS, tolerance=1e-14):
        found = 1 / (1 + np.exp(-model.logits(axes.rotate(new.x))))
        np.testing.assert_allclose(found, reference(known, new.x, model.inverse_strength), atol=2e-4)


def test_c_is_the_one_of_lowest_loss_on_held_out_groups() -> None:
    known = tagged(rows=64, columns=30, noise=3.0)
    losses = dict.fromkeys(STRENGTHS, 0.0)
    for train, held in tag_folds(known.tags, known.groups, folds=3):
        for c in STRENGTHS:
            found = reference(known.select(train), known.x[held], c)
            losses[c] -= np.log(np.where(known.tags[held], found, 1 - found)).sum()

    assert choose_inverse_strength(known, CONFIG) == min(losses, key=losses.__getitem__)
    assert choose_inverse_strength(replace(known, groups=np.full(64, "s0")), CONFIG) is None


def test_a_tag_without_two_sides_is_predicted_as_it_is_and_disturbs_no_other() -> None:
    known, new = tagged(), tagged(seed=1)
    never, always = np.zeros((160, 1), np.bool_), np.ones((160, 1), np.bool_)

    wide = one_vs_rest_probe(replace(known, tags=np.hstack([known.tags, never, always])), new.x, CONFIG)

    alone = one_vs_rest_probe(known, new.x, CONFIG)
    np.testing.assert_array_equal(wide.probabilities[:, :3], alone.probabilities)
    assert not wide.probabilities[:, 3].any()
    assert wide.probabilities[:, 4].all()
    assert (wide.chosen, wide.validated) == (alone.chosen, True)


def test_one_labelled_sample_gives_its_own_tags() -> None:
    known = tagged()

    found = one_vs_rest_probe(known.select(np.array([5])), known.x, CONFIG)

    assert (found.probabilities == known.tags[5]).all()
    assert not found.validated
    assert found.chosen == CONFIG.default_inverse_strength


def test_folds_hold_out_whole_groups_and_share_out_tags() -> None:
    tags = np.zeros((12, 3), np.bool_)
    groups = np.repeat(["a", "b", "c", "d"], 3)
    tags[:6, 0] = True  # groups a and b
    tags[6:, 1] = True  # groups c and d
    tags[0, 2] = True  # group a alone: balances nothing

    found = tag_folds(tags, groups, folds=2)

    assert len(found) == 2
    for train, held in found:
        assert not set(groups[train]) & set(groups[held])
        assert sorted(np.concatenate([train, held]).tolist()) == list(range(12))
        assert tags[train][:, :2].any(axis=0).all()
    assert tag_folds(tags[:, 2:], groups, folds=2) == []
