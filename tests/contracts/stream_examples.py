"""Raw values of every kind of stream, and the transforms and encoders found in the unions."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

from modalities.catalogue import AnyStream, codec_for
from modalities.draws import Draws
from modalities.image.codec import ImageSchema
from modalities.sensor.codec import SensorSchema
from modalities.spec import Codec, Config, Signal
from modalities.text.codec import TextSchema
from tests.modalities.tiny_weights import save_tiny_bert, save_tiny_vit


@dataclass(frozen=True)
class Example:
    """A schema with raw values; `delimited` formats know their own length, so that every cut is noticed."""

    schema: Config
    raws: tuple[np.ndarray | str, ...]
    delimited: bool
    weights: Callable[[Path], None] | None = None


def _series(seed: int, steps: int) -> np.ndarray:
    series = np.random.default_rng(seed).normal(size=(6, steps)).cumsum(axis=1).astype(np.float32)
    series[1, steps // 2] = np.nan
    return series


def _pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (32, 48, 3)).astype(np.uint8)


EXAMPLES = {
    "sensor": Example(
        SensorSchema(channels=("ax", "ay", "az", "gx", "gy", "gz"), rate_hz=50.0, max_steps=40),
        tuple(_series(seed, steps) for seed, steps in enumerate((40, 40, 33, 21, 9, 40))),
        delimited=True,
    ),
    "image": Example(
        ImageSchema(height=32, width=48),
        tuple(_pixels(seed) for seed in range(6)),
        delimited=True,
        weights=partial(save_tiny_vit, height=32, width=48),
    ),
    "text": Example(
        TextSchema(max_tokens=24, vocabulary_size=300),
        (
            "a jar, then a lid",
            "über den Berg",
            "猫と犬",
            "to lift a box",
            "x",
            "the valve was turned and then the lid é",
        ),
        delimited=False,
        weights=save_tiny_bert,
    ),
}
# Configurations that have required fields.
MINIMAL: dict[str, list[dict[str, object]]] = {
    "tsaug": [{"steps": [{"kind": "add_noise"}, {"kind": "time_warp"}]}],
}


def members(annotation: object) -> list[type[Config]]:
    """Models anywhere in an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, Config):
        return [annotation]
    return [member for argument in get_args(annotation) for member in members(argument)]


STREAMS = {str(stream.model_fields["kind"].default): stream for stream in members(AnyStream)}
TRANSFORMS = [
    pytest.param(kind, transform, document, id=f"{kind}-{tag}")
    for kind, stream in STREAMS.items()
    for transform in members(stream.model_fields["augment"].annotation)
    for tag in [str(transform.model_fields["kind"].default)]
    for document in MINIMAL.get(tag, [{}])
]
ENCODERS = [
    pytest.param(kind, encoder, id=f"{kind}-{encoder.model_fields['kind'].default}")
    for kind, stream in STREAMS.items()
    for encoder in members(stream.model_fields["encoder"].annotation)
]


def codec_of(kind: str, folders: dict[str, Path]) -> Codec:
    return codec_for(EXAMPLES[kind].schema, folders[kind])  # type: ignore[arg-type]


def batch_of(kind: str, folders: dict[str, Path]) -> Signal:
    """All examples and, in between, an absent one."""
    codec = codec_of(kind, folders)
    payloads: list[bytes | None] = [codec.encode(raw) for raw in EXAMPLES[kind].raws]
    payloads.insert(2, None)
    return codec.decode(payloads)


def encoder_of(kind: str, config: type[Config], folders: dict[str, Path], *, seed: int = 0) -> nn.Module:
    codec = codec_of(kind, folders)
    statistics = codec.statistics([codec.encode(raw) for raw in EXAMPLES[kind].raws])
    required = {"name": str(folders[kind] / "weights")} if "name" in config.model_fields else {}
    torch.manual_seed(seed)
    return config(**required).build(EXAMPLES[kind].schema, statistics)  # type: ignore[attr-defined]


def present_of(kind: str, folders: dict[str, Path]) -> Signal:
    signal = batch_of(kind, folders)
    return signal.select(signal.present.nonzero().squeeze(1))


def draws_for(signal: Signal, *, view: int = 0) -> Draws:
    return Draws.keyed(torch.arange(len(signal)) + 50, seed=1, purpose="view", epoch=2, view=view)
