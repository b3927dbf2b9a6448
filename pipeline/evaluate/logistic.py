"""Logistic regression to its optimum, for a whole path of regularisation strengths.

    min over W, b of  C sum_i loss(W x_i + b, y_i) + 1/2 ||W||^2      (scikit-learn's definition of C)

The loss is -log softmax[y_i] of one class a row, or, one against the rest, that of a sigmoid for each of several tags.

The penalty is invariant to rotation and the optimum lies in the span of the rows, so the problem is solved in principal
axes (at most as many as rows). Each parameter is scaled by the Hessian's diagonal at the model the path goes on from:
L-BFGS then needs tens of iterations where raw columns need hundreds. Products are torch's with classes first: with so
few classes they wait for memory, and this order reads the rows fastest.
Axes: N rows, D columns, K classes, R principal axes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor
from torch.nn import functional

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
    return _path(z, _Softmax(torch.from_numpy(y)), num_classes, inverse_strengths, tolerance)


def one_vs_rest_path(
    z: Rows, tags: NDArray[np.bool_], *, inverse_strengths: Sequence[float], tolerance: float = 1e-9
) -> Iterator[Logistic]:
    """The same for tags (N, K): a binary regression of each, all with one C."""
    present = torch.from_numpy(np.ascontiguousarray(tags.T))
    return _path(z, _Sigmoid(present), tags.shape[1], inverse_strengths, tolerance)


def _path(
    z: Rows, likelihood: "_Likelihood", num_outputs: int, inverse_strengths: Sequence[float], tolerance: float
) -> Iterator[Logistic]:
    rows = torch.from_numpy(np.ascontiguousarray(z))
    parameters = np.zeros((num_outputs, z.shape[1] + 1))
    for c in sorted(inverse_strengths):
        scale = np.sqrt(_curvature(rows, parameters, c, likelihood))
        objective = _Objective(rows, likelihood, c, scale)
        options = {"maxiter": 2000, "maxfun": 4000, "maxcor": 20, "ftol": tolerance, "gtol": 1e-12}
        fit = minimize(objective, (parameters * scale).ravel(), jac=True, method="L-BFGS-B", options=options)
        parameters = fit.x.reshape(parameters.shape) / scale
        yield Logistic(parameters[:, :-1].T, parameters[:, -1], c)


class _Likelihood(Protocol):
    """Of logits (K, N), which may be overwritten."""

    def shares(self, logits: Tensor) -> Tensor:
        """Probabilities (K, N)."""
        ...

    def loss(self, logits: Tensor) -> tuple[float, Tensor]:
        """Mean negative log-likelihood of a row, and its gradient by the logits times the rows (K, N)."""
        ...


@dataclass(frozen=True)
class _Softmax:
    """One class a row: y (N,)."""

    y: Tensor

    def shares(self, logits: Tensor) -> Tensor:
        return torch.log_softmax(logits, dim=0).exp_()

    def loss(self, logits: Tensor) -> tuple[float, Tensor]:
        rows, log_shares = torch.arange(len(self.y)), torch.log_softmax(logits, dim=0)
        loss = -log_shares[self.y, rows].mean(dtype=torch.float64).item()
        residual = log_shares.exp_()
        residual[self.y, rows] -= 1.0
        return loss, residual


@dataclass(frozen=True)
class _Sigmoid:
    """Several tags a row: present (K, N) bool."""

    present: Tensor

    def shares(self, logits: Tensor) -> Tensor:
        return logits.sigmoid_()

    def loss(self, logits: Tensor) -> tuple[float, Tensor]:
        target = self.present.to(logits.dtype)
        losses = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
        return losses.sum(dtype=torch.float64).item() / logits.shape[1], logits.sigmoid_().sub_(target)


def _logits(z: Tensor, parameters: Matrix) -> Tensor:
    """(K, N); the last column of the parameters (K, R + 1) is the bias."""
    given = torch.from_numpy(parameters).to(z.dtype)
    return torch.addmm(given[:, -1:], given[:, :-1], z.T)


def _curvature(z: Tensor, parameters: Matrix, c: float, likelihood: _Likelihood) -> Matrix:
    """Diagonal of the Hessian (K, R + 1), above 0."""
    found = np.zeros_like(parameters)
    for tile in z.split(_TILE):
        shares = likelihood.shares(_logits(tile, parameters))
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
    likelihood: _Likelihood
    c: float
    scale: Matrix

    def __call__(self, flat: Matrix) -> tuple[float, Matrix]:
        parameters = flat.reshape(self.scale.shape) / self.scale
        penalty = 1.0 / (self.c * len(self.z))
        loss, residual = self.likelihood.loss(_logits(self.z, parameters))
        sums = [residual @ self.z, residual.sum(dim=1, keepdim=True)]
        gradient = torch.cat(sums, dim=1).double().numpy() / len(self.z)
        gradient[:, :-1] += penalty * parameters[:, :-1]
        return loss + 0.5 * penalty * float((parameters[:, :-1] ** 2).sum()), (gradient / self.scale).ravel()
