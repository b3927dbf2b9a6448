"""Multinomial logistic regression to its optimum, for a whole path of regularisation strengths.

    min over W, b of  C sum_i -log softmax(W x_i + b)[y_i] + 1/2 ||W||^2      (scikit-learn's definition of C)

The penalty is invariant to rotation and the optimum lies in the span of the rows, so the problem is solved in principal
axes (at most as many as rows), each scaled by a bound of the Hessian (Bohning 1992, doi 10.1007/BF00048682). L-BFGS
then needs tens of iterations where raw columns need hundreds.
Axes: N rows, D columns, K classes, R principal axes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Matrix = NDArray[np.float64]
Rows = NDArray[np.floating]

_RANK = 1e-10  # axes below this share of the largest eigenvalue carry rounding noise only


@dataclass(frozen=True)
class PrincipalAxes:
    """A rotation: axes (D, R) orthonormal, centre (D,)."""

    axes: Matrix
    centre: Matrix

    def rotate(self, x: Rows) -> Matrix:
        """(N, D) -> (N, R)."""
        return (x - self.centre) @ self.axes


def principal_axes(x: Rows) -> PrincipalAxes:
    """Axes of the rows (N, D) through the smaller of the two Gram matrices; directions without variance drop out."""
    centre = np.asarray(x.mean(axis=0, dtype=np.float64))
    rows = x - centre
    wide = rows.shape[1] > len(rows)
    values, vectors = np.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
    keep = values > _RANK * values[-1]
    axes = rows.T @ (vectors[:, keep] / np.sqrt(values[keep])) if wide else vectors[:, keep]
    return PrincipalAxes(axes, centre)


@dataclass(frozen=True)
class Logistic:
    """A fitted model of rotated rows: weight (R, K), bias (K,)."""

    weight: Matrix
    bias: Matrix
    inverse_strength: float

    def logits(self, z: Rows) -> Matrix:
        """(N, R) -> (N, K)."""
        return z @ self.weight + self.bias

    def loss(self, z: Rows, y: NDArray[np.int64]) -> float:
        """Mean negative log-likelihood, in nats."""
        logits = self.logits(z)
        logits = logits - logits.max(axis=1, keepdims=True)
        return float(np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(y)), y]))


def logistic_path(
    z: Rows, y: NDArray[np.int64], *, num_classes: int, inverse_strengths: Sequence[float], tolerance: float = 1e-9
) -> Iterator[Logistic]:
    """One model per C, ascending, each started from the one before it.

    z: (N, R), best in principal axes; its precision is that of the products. y: (N,) in [0, num_classes).
    tolerance: the fit ends when a step lowers the mean loss by less (nats).
    """
    scale = (z**2).sum(axis=0, dtype=np.float64)
    parameters = np.zeros((z.shape[1] + 1, num_classes))
    for c in sorted(inverse_strengths):
        bound = np.sqrt(c * np.append(scale, len(z)) / 4 + np.append(np.ones(len(scale)), 0.0))[:, None]
        objective = _Objective(z, y, c, bound)
        options = {"maxiter": 2000, "maxfun": 4000, "maxcor": 20, "ftol": tolerance, "gtol": 1e-12}
        fit = minimize(objective, (parameters * bound).ravel(), jac=True, method="L-BFGS-B", options=options)
        parameters = fit.x.reshape(parameters.shape) / bound
        yield Logistic(parameters[:-1], parameters[-1], c)


@dataclass(frozen=True)
class _Objective:
    """Value and gradient per row, of parameters multiplied by `bound` (R + 1, 1); the last row is the bias."""

    z: Rows
    y: NDArray[np.int64]
    c: float
    bound: Matrix

    def __call__(self, flat: Matrix) -> tuple[float, Matrix]:
        parameters = flat.reshape(len(self.bound), -1) / self.bound
        rows, penalty = np.arange(len(self.y)), 1.0 / (self.c * len(self.y))
        logits = self.z @ parameters[:-1].astype(self.z.dtype) + parameters[-1].astype(self.z.dtype)
        logits -= logits.max(axis=1, keepdims=True)
        chosen = logits[rows, self.y].astype(np.float64)
        residual = np.exp(logits, out=logits)
        total = residual.sum(axis=1, keepdims=True)
        loss = (np.log(total[:, 0].astype(np.float64)) - chosen).mean()
        residual /= total
        residual[rows, self.y] -= 1.0
        gradient = np.vstack([self.z.T @ residual, residual.sum(axis=0)[None]]) / np.float64(len(rows))
        gradient[:-1] += penalty * parameters[:-1]
        return float(loss + 0.5 * penalty * (parameters[:-1] ** 2).sum()), (gradient / self.bound).ravel()
