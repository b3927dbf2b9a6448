"""Collapse monitors of embeddings, and losses that are not finite."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pipeline.errors import TrainingHealthError
from pipeline.objectives.info_nce import normalize
from pipeline.train.task import Outputs
from pipeline.types import LossTerms

STD_ALARM = 0.3
"""Spread std * sqrt(d) below which embeddings have collapsed; 1 is a full sphere."""
MEAN_ALARM = 0.9
"""Squared length of the mean unit embedding above which all embeddings are one."""
RANK_ALARM = 0.1
"""Share of the directions there could be below which embeddings have lost dimensions."""


def collapse_alarms(metrics: Mapping[str, float]) -> list[str]:
    """A sentence for each of the last monitors `.../health/<stream>/<monitor>` that is past an alarm level."""
    return [alarm for alarms in alarms_of_streams(metrics).values() for alarm in alarms]


def alarms_of_streams(metrics: Mapping[str, float]) -> dict[str, list[str]]:
    """The sentences of each stream that is monitored; none where all is well."""
    levels = {"std": STD_ALARM, "rank_share": RANK_ALARM, "mean_cosine": MEAN_ALARM}
    found: dict[str, list[str]] = {}
    for name, value in sorted(metrics.items()):
        *start, monitor = name.split("/")
        if len(start) < 2 or start[-2] != "health":
            continue
        level = levels.get(monitor)
        if level is None:
            continue
        alarms = found.setdefault(start[-1], [])
        if value > level if monitor == "mean_cosine" else value < level:
            alarms.append(f"Embeddings of {start[-1]} may be collapsing: {monitor} {value:.2f}, alarm level {level:g}.")
    return found


def refuse_nonfinite(total: Tensor, terms: LossTerms, leaves: Outputs, *, step: int) -> None:
    """Raises TrainingHealthError naming the terms of a loss that is not finite, the samples (idx) behind it, and the
    largest finite norm of a row in each output, over all samples."""
    if math.isfinite(float(total.detach())):
        return
    bad = [name for name, value in terms.terms.items() if not math.isfinite(float(value.detach()))]
    rows = torch.zeros(len(leaves["idx"]), dtype=torch.bool)
    norms: dict[str, float] = {}
    for name, leaf in leaves.items():
        if leaf.is_floating_point():
            length = leaf.detach().cpu().flatten(1).double().norm(dim=1)
            rows |= ~length.isfinite()
            norms[name] = float(length.nan_to_num(0.0, 0.0, 0.0).max())
    raise TrainingHealthError(
        f"loss is not finite at step {step} in {', '.join(bad)}",
        code="NONFINITE_LOSS",
        field=",".join(bad),
        got={"step": step, "samples": leaves["idx"].cpu()[rows][:16].tolist(), "norms": norms},
        fix="lower the learning rate or inspect the named samples (idx); the last checkpoint is finite",
    )


def refuse_nonfinite_weights(module: nn.Module, *, step: int) -> None:
    """Raises TrainingHealthError naming a weight that is not finite: no checkpoint may hold it."""
    for name, tensor in module.state_dict().items():
        if not bool(tensor.isfinite().all()):
            raise TrainingHealthError(
                f"the weights are not finite after step {step}",
                code="NONFINITE_WEIGHTS",
                field=name,
                fix="lower the learning rate; the last checkpoint is finite",
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
    mean, rank = unit.mean(dim=0), effective_rank(unit)
    found = {
        "std": float(unit.std(dim=0).mean() * unit.shape[1] ** 0.5),
        "rank": rank,
        "rank_share": rank / min(unit.shape),
        "rank_centred": effective_rank(unit - mean),
        "mean_cosine": float(mean.square().sum()),
        "uniformity": uniformity(unit),
    }
    return found | ({"alignment": alignment(z[:, 0], z[:, 1])} if z.shape[1] > 1 else {})
