"""Against scikit-learn's optimum."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from pipeline.evaluate.logistic import logistic_path, principal_axes


def task(rows: int, columns: int, classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(classes), rng.integers(0, classes, rows - classes)])
    mixing = rng.normal(size=(columns, columns)) * np.geomspace(1, 0.01, columns)  # badly conditioned columns
    return rng.normal(size=(rows, columns)) @ mixing + rng.normal(size=(classes, columns))[y] * 0.8 + 5.0, y


@pytest.mark.parametrize(("rows", "columns"), [(300, 12), (30, 80)], ids=["tall", "wide"])
@pytest.mark.parametrize("c", [0.01, 1.0])
def test_probabilities_equal_scikit_learns(rows, columns, c):
    x, y = task(rows, columns)
    reference = LogisticRegression(C=c, tol=1e-10, max_iter=20000, solver="newton-cg").fit(x, y)
    axes = principal_axes(x)

    (model,) = logistic_path(axes.rotate(x), y, num_classes=4, inverse_strengths=[c], tolerance=1e-14)
    logits = model.logits(axes.rotate(x))
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))

    np.testing.assert_allclose(shares / shares.sum(axis=1, keepdims=True), reference.predict_proba(x), atol=2e-4)


def test_the_gradient_vanishes_on_raw_columns():
    x, y = task(200, 20)
    axes = principal_axes(x)
    (model,) = logistic_path(axes.rotate(x), y, num_classes=4, inverse_strengths=[0.1], tolerance=1e-15)
    weight = axes.axes @ model.weight

    logits = model.logits(axes.rotate(x))
    residual = np.exp(logits - logits.max(axis=1, keepdims=True))
    residual = residual / residual.sum(axis=1, keepdims=True) - np.eye(4)[y]
    gradient = 0.1 * (x - axes.centre).T @ residual + weight

    assert np.abs(gradient).max() < 1e-3 * np.abs(0.1 * (x - axes.centre).T @ np.eye(4)[y]).max()


def test_a_path_ends_where_single_fits_end():
    x, y = task(150, 10)
    z = principal_axes(x).rotate(x)
    path = list(logistic_path(z, y, num_classes=4, inverse_strengths=[1.0, 0.01, 0.1], tolerance=1e-13))

    assert [model.inverse_strength for model in path] == [0.01, 0.1, 1.0]
    for model in path:
        (alone,) = logistic_path(z, y, num_classes=4, inverse_strengths=[model.inverse_strength], tolerance=1e-13)
        np.testing.assert_allclose(model.weight, alone.weight, atol=1e-3 * np.abs(alone.weight).max())


def test_single_precision_finds_the_same_loss():
    x, y = task(300, 30)
    z = principal_axes(x).rotate(x)
    losses = [
        model.loss(z, y)
        for rows in (z, z.astype(np.float32))
        for model in logistic_path(rows, y, num_classes=4, inverse_strengths=[1.0], tolerance=1e-7)
    ]

    assert losses[1] == pytest.approx(losses[0], abs=1e-4)


def test_rotation_is_exact_within_the_span_and_drops_constant_columns():
    x, _ = task(25, 60)
    x[:, 3] = 2.0
    axes = principal_axes(x)
    z = axes.rotate(x)

    assert z.shape[1] == 24  # one less than the rows, by centring
    np.testing.assert_allclose(z @ z.T, (x - x.mean(0)) @ (x - x.mean(0)).T, atol=1e-6)


def test_loss_is_the_negative_log_likelihood():
    x, y = task(40, 5)
    z = principal_axes(x).rotate(x)
    (model,) = logistic_path(z, y, num_classes=4, inverse_strengths=[1.0])
    logits = model.logits(z)
    expected = np.mean([np.log(np.exp(logits[i]).sum()) - logits[i, y[i]] for i in range(40)])

    assert model.loss(z, y) == pytest.approx(expected)
