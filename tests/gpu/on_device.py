"""Copies of nested test values on another device."""

import dataclasses
from typing import TypeVar

import torch
from torch import Tensor

ValueT = TypeVar("ValueT")


def on_device(value: ValueT, device: torch.device) -> ValueT:
    """The same dataclass, mapping or tensor with every tensor a leaf on `device`."""
    if isinstance(value, Tensor):
        return value.detach().to(device).requires_grad_(value.requires_grad)
    if isinstance(value, dict):
        return {key: on_device(item, device) for key, item in value.items()}  # type: ignore[return-value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        moved = {f.name: on_device(getattr(value, f.name), device) for f in dataclasses.fields(value)}
        return dataclasses.replace(value, **moved)  # type: ignore[type-var]
    return value
