"""Optimiser and learning-rate schedule."""

import math
from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from modalities.spec import Config
from pipeline.expected_tensors import check_expected


class OptimConfig(Config):
    """AdamW with linear warm-up and cosine decay."""

    learning_rate: float = Field(default=1e-3, gt=0)
    """Peak learning rate."""
    weight_decay: float = Field(default=1e-4, ge=0)
    """Decoupled weight decay (arXiv 1711.05101); none on biases, norms and other one-dimensional parameters."""
    warmup_fraction: float = Field(default=0.05, ge=0, lt=1)
    """Share of all steps with linear warm-up."""
    final_fraction: float = Field(default=0.0, ge=0, le=1)
    """Learning rate of the last step as a share of the peak."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Shape after the warm-up."""
    clip_norm: float | None = Field(default=1.0, gt=0)
    """Largest global gradient norm; None means no clipping."""


def learning_rate_scale(config: OptimConfig, step: int, num_steps: int) -> float:
    """Factor of the peak learning rate at step 0..num_steps-1.

    >>> learning_rate_scale(OptimConfig(warmup_fraction=0.5), 0, 4), learning_rate_scale(OptimConfig(), 99, 100) < 0.01
    (0.5, True)
    """
    warmup = round(config.warmup_fraction * num_steps)
    if step < warmup:
        return (step + 1) / warmup
    if config.schedule == "constant":
        return 1.0
    progress = (step - warmup + 1) / max(1, num_steps - warmup)
    return config.final_fraction + (1 - config.final_fraction) * (1 + math.cos(math.pi * progress)) / 2


def parameter_groups(module: nn.Module, config: OptimConfig) -> list[dict[str, object]]:
    """Two groups: weights with decay, one-dimensional parameters without."""
    trained = [p for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "lr": config.learning_rate, "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "lr": config.learning_rate, "weight_decay": 0.0},
    ]


def build_optimizer(groups: list[dict[str, object]]) -> torch.optim.AdamW:
    """AdamW that remembers each group's peak learning rate."""
    kept = [{**group, "peak_lr": group["lr"]} for group in groups if group["params"]]
    return torch.optim.AdamW(kept, betas=(0.9, 0.999), foreach=False)


def set_learning_rate(optimizer: torch.optim.Optimizer, scale: float) -> None:
    """Every group's learning rate = its peak * scale."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * scale


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state as named tensors, in parameter order."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{name}": tensor for index in sorted(state) for name, tensor in state[index].items()}


def load_optimizer_tensors(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Inverse of `optimizer_tensors`; hyper-parameters stay those of `optimizer`.

    Raises CheckpointError where the tensors are not the whole state of parameters of these shapes.
    """
    known = {name.partition(".")[0] for name in tensors}
    expected = {
        f"{index}.{name}": tensor
        for index, parameter in enumerate(p for group in optimizer.param_groups for p in group["params"])
        if str(index) in known
        for name, tensor in (("step", torch.zeros(())), ("exp_avg", parameter), ("exp_avg_sq", parameter))
    }
    check_expected(tensors, expected, what="optimizer")
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
