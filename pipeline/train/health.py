"""Collapse monitors of embeddings, and losses that are not finite."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from pipeline.errors import TrainingHealthError
from pipeline.objectives.info_nce import normalize
from pipeline.train.task import Outputs
from pipeline.types import LossTerms

STD_ALARM = 0.3
"""Spread std * sqrt(d) below which embeddings have collapsed; 1 is a full sphere."""
MEAN_ALARM = 0.9
"""Squared length of the mean unit embedding above which all embeddings are one."""


def collapse_alarms(metrics: Mapping[str, float]) -> list[str]:
    """A sentence for each stream whose last monitors `.../health/<stream>/<monitor>` are past an alarm level."""
    found = []
    for name, value in sorted(metrics.items()):
        *start, monitor = name.split("/")
        if len(start) < 2 or start[-2] != "health":
            continue
        if (monitor == "std" and value < STD_ALARM) or (monitor == "mean_cosine" and value > MEAN_ALARM):
            level = STD_ALARM if monitor == "std" else MEAN_ALARM
            found.append(f"Embeddings of {start[-1]} may be collapsing: {monitor} {value:.2f}, alarm level {level:g}.")
    return found


def refuse_nonfinite(total: Tensor, terms: LossTerms, leaves: Outputs, *, step: int) -> None:
    """Raises TrainingHealthError naming the terms of a loss that is not finite, and the samples (idx) behind it."""
    if math.isfinite(float(total.detach())):
        return
    bad = [name for name, value in terms.terms.items() if not math.isfinite(float(value.detach()))]
    rows = torch.zeros(len(leaves["idx"]), dtype=torch.bool)
    for leaf in leaves.values():
        if leaf.is_floating_point():
            rows |= ~leaf.detach().cpu().isfinite().flatten(1).all(dim=1)
    raise TrainingHealthError(
        f"loss is not finite at step {step} in {', '.join(bad)}",
        code="NONFINITE_LOSS",
        field=",".join(bad),
        got={"samples": leaves["idx"].cpu()[rows][:16].tolist()},
        fix="lower the learning rate or inspect the named samples (idx); the last checkpoint is finite",
    )


def effective_rank(z: Tensor) -> float:
    """exp(entropy of the normalised singular values) of (N, d) (Roy and Vetterli 2007)."""
    singular = torch.linalg.svdvals(z.float())
    share = singular / singular.sum().clamp(min=1e-12)
    return float(torch.exp(-(share * share.clamp(min=1e-12).log()).sum()))


def alignment(a: Tensor, b: Tensor) -> float:
    """Mean squared distance of positive pairs of unit vectors (arXiv 2005.10242, eq. 7)."""
    return float((normalize(a) - normalize(b)).square().sum(dim=1).mean())


def uniformity(z: Tensor) -> float:
    """log mean e^{-2 d^2} over pairs of unit vectors (N, d) (arXiv 2005.10242, eq. 8)."""
    return float(torch.pdist(normalize(z)).square().mul(-2).exp().mean().log())


def embedding_health(z: Tensor) -> dict[str, float]:
    """Monitors of (B, V, d): std * sqrt(d) is 1 for a healthy sphere; both ranks are needed, because a low-rank
    collapse looks healthy in std and a full collapse looks healthy in the centred rank. Empty for fewer than 3 samples.
    """
    if len(z) < 3:
        return {}
    unit = normalize(z[:, 0])
    mean = unit.mean(dim=0)
    found = {
        "std": float(unit.std(dim=0).mean() * unit.shape[1] ** 0.5),
        "rank": effective_rank(unit),
        "rank_centred": effective_rank(unit - mean),
        "mean_cosine": float(mean.square().sum()),
        "uniformity": uniformity(unit),
    }
    return found | ({"alignment": alignment(z[:, 0], z[:, 1])} if z.shape[1] > 1 else {})
