"""Learned features and the controls every report carries, under one protocol."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluate.features import Features
from pipeline.evaluate.fitted_fusion import Matrix
from pipeline.evaluate.fusion import fuse, standardise
from pipeline.evaluate.probe import ProbeConfig, ProbeRow, ProbeTask, probe
from pipeline.evaluate.results import FUSED

Subset = tuple[str, ...]


@dataclass(frozen=True)
class ProbeInput:
    """Standardised features x (N, D). source: `probe` for learned ones, else the control's name."""

    source: str
    subset: str
    x: Matrix


def subset_name(subset: Sequence[str], streams: Sequence[str]) -> str:
    """`fused` for all streams of a recipe, else their names joined by "-".

    >>> subset_name(["imu", "skeleton"], ["imu", "skeleton", "depth"])
    'imu-skeleton'
    """
    return FUSED if set(subset) == set(streams) else "-".join(subset)


def probe_inputs(
    tables: Mapping[str, Features],
    metadata: NDArray[np.float32],
    subsets: Sequence[Subset],
    *,
    train: NDArray[np.int64],
) -> Iterator[ProbeInput]:
    """What every probe reads, one at a time: each table by source and subset, then (N, F) of `metadata_features`."""
    for source, features in tables.items():
        for subset in subsets:
            yield ProbeInput(source, subset_name(subset, list(features.values)), fuse(features, subset, train=train))
    yield ProbeInput("metadata", FUSED, standardise(metadata, train))


def probe_rows(given: ProbeInput, task: ProbeTask, *, config: ProbeConfig, seed: int) -> list[ProbeRow]:
    """Every percentage; every method of learned features, the linear probe alone of a control.

    Metadata above chance is a leak to explain.
    """
    if given.source != "probe":
        config = config.model_copy(update={"methods": ("linear",)})
    return probe(given.x, task, subset=given.subset, config=config, seed=seed, source=given.source)
