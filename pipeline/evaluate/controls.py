"""Probe rows of learned features and of the controls every report carries, under one protocol."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluate.features import Features
from pipeline.evaluate.fusion import fuse, standardise
from pipeline.evaluate.probe import ProbeConfig, ProbeRow, ProbeTask, probe

Subset = tuple[str, ...]


def subset_name(subset: Sequence[str], streams: Sequence[str]) -> str:
    """`fused` for all streams of a recipe, else their names joined by "-".

    >>> subset_name(["imu", "skeleton"], ["imu", "skeleton", "depth"])
    'imu-skeleton'
    """
    return "fused" if set(subset) == set(streams) else "-".join(subset)


def probe_rows(
    features: Features, task: ProbeTask, subsets: Sequence[Subset], *, config: ProbeConfig, seed: int
) -> list[ProbeRow]:
    """Learned features: every subset, method and percentage. The task's rows are the table's rows."""
    return _rows("probe", features, task, subsets, config=config, seed=seed)


def control_rows(
    name: str, features: Features, task: ProbeTask, subsets: Sequence[Subset], *, config: ProbeConfig, seed: int
) -> list[ProbeRow]:
    """A control (`random_init`, `features`): the same task, draws and linear probe on another table of features."""
    return _rows(name, features, task, subsets, config=_linear(config), seed=seed)


def metadata_rows(metadata: NDArray[np.float32], task: ProbeTask, *, config: ProbeConfig, seed: int) -> list[ProbeRow]:
    """The metadata control on (N, F) of `metadata_features`: anything above chance is a leak to explain."""
    x = standardise(metadata, task.train)
    return probe(x, task, subset="fused", config=_linear(config), seed=seed, source="metadata")


def _rows(
    source: str, features: Features, task: ProbeTask, subsets: Sequence[Subset], *, config: ProbeConfig, seed: int
) -> list[ProbeRow]:
    streams = list(features.values)
    rows = []
    for subset in subsets:
        x = fuse(features, subset, train=task.train)
        rows += probe(x, task, subset=subset_name(subset, streams), config=config, seed=seed, source=source)
    return rows


def _linear(config: ProbeConfig) -> ProbeConfig:
    return config.model_copy(update={"methods": ("linear",)})
