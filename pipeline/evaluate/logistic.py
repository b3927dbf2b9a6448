"""Multinomial logistic regression to its optimum, for a whole path of regularisation strengths.

    min over W, b of  C sum_i -log softmax(W x_i + b)[y_i] + 1/2 ||W||^2      (scikit-learn's definition of C)

The penalty is invariant to rotation and the optimum lies in the span of the rows, so the problem is solved in principal
axes (at most as many as rows). Each parameter is scaled by the Hessian's diagonal at the model the path goes on from:
L-BFGS then needs tens of iterations where raw columns need hundreds. Products are torch's with classes first: with so
few classes they wait for memory, and this order reads the rows fastest.
Axes: N rows, D columns, K classes, R principal axes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

Matrix = NDArray[np.float64]
Rows = NDArray[np.floating]

_RANK = 1e-10  # axes below this share of the largest eigenvalue carry rounding noise only
_SPREAD = 1e-6  # least p (1 - p) in the scale: rows that are certain now may not be so later on the path
_TILE = 1024


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
    rows, classes = torch.from_numpy(np.ascontiguousarray(z)), torch.from_numpy(y)
    parameters = np.zeros((num_classes, z.shape[1] + 1))
    for c in sorted(inverse_strengths):
        scale = np.sqrt(_curvature(rows, parameters, c))
        objective = _Objective(rows, classes, c, scale)
        options = {"maxiter": 2000, "maxfun": 4000, "maxcor": 20, "ftol": tolerance, "gtol": 1e-12}
        fit = minimize(objective, (parameters * scale).ravel(), jac=True, method="L-BFGS-B", options=options)
        parameters = fit.x.reshape(parameters.shape) / scale
        yield Logistic(parameters[:, :-1].T, parameters[:, -1], c)


def _log_shares(z: Tensor, parameters: Matrix) -> Tensor:
    """Log probabilities (K, N); the last column of the parameters (K, R + 1) is the bias."""
    given = torch.from_numpy(parameters).to(z.dtype)
    return torch.log_softmax(torch.addmm(given[:, -1:], given[:, :-1], z.T), dim=0)


def _curvature(z: Tensor, parameters: Matrix, c: float) -> Matrix:
    """Diagonal of the Hessian (K, R + 1), above 0."""
    found = np.zeros_like(parameters)
    for tile in z.split(_TILE):
        shares = _log_shares(tile, parameters).exp_()
        spread = (shares * (1 - shares)).clamp_(min=_SPREAD)
        found[:, :-1] += (spread @ tile**2).numpy()
        found[:, -1] += spread.sum(dim=1).numpy()
    found *= c
    found[:, :-1] += 1.0
    return found


@dataclass(frozen=True)
class _Objective:
    """Value and gradient per row, of parameters (K, R + 1) multiplied by `scale`."""

    z: Tensor
    y: Tensor
    c: float
    scale: Matrix

    def __call__(self, flat: Matrix) -> tuple[float, Matrix]:
        parameters = flat.reshape(self.scale.shape) / self.scale
        rows, penalty = torch.arange(len(self.y)), 1.0 / (self.c * len(self.y))
        log_shares = _log_shares(self.z, parameters)
        loss = -log_shares[self.y, rows].mean(dtype=torch.float64).item()
        residual = log_shares.exp_()
        residual[self.y, rows] -= 1.0
        gradient = torch.cat([residual @ self.z, residual.sum(dim=1, keepdim=True)], dim=1).double().numpy() / len(rows)
        gradient[:, :-1] += penalty * parameters[:, :-1]
        return loss + 0.5 * penalty * float((parameters[:, :-1] ** 2).sum()), (gradient / self.scale).ravel()
