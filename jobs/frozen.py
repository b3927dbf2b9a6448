"""Frozen encoders of a recipe, and the feature tables they and the hand-made control give."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from jobs.assemble import Dataset, build_modalities
from jobs.configs import Recipe
from modalities.draws import derive_seed
from pipeline.errors import TrainingHealthError
from pipeline.evaluate.features import Features, extract, read_features, write_features
from pipeline.evaluate.handmade import Extractor, handmade
from pipeline.evaluate.image_statistics import ImageStatistics
from pipeline.evaluate.mini_rocket import MiniRocket, MiniRocketConfig
from pipeline.evaluate.sensor_statistics import SensorStatistics
from pipeline.evaluate.weights import load_weights
from pipeline.evaluate.words import Words
from pipeline.model import pooled_features
from pipeline.train.checkpoint import state_hash
from pipeline.types import Batch

BATCH = 256
_FITTED = 1024  # training samples that MiniRocket takes its biases from


@dataclass(frozen=True)
class FrozenEncoders:
    """Encoders in evaluation mode, and the data set as they read it."""

    encoders: nn.ModuleDict
    dataset: Dataset


def encoders_of(recipe: Recipe, dataset: Dataset, tensors: dict[str, torch.Tensor] | None) -> nn.ModuleDict:
    """Encoders in evaluation mode: with the given weights, or untrained."""
    modalities = build_modalities(recipe, dataset, seed=recipe.seed)
    encoders = nn.ModuleDict({name: modality.encoder for name, modality in modalities.items()})
    if tensors is not None:
        load_weights(encoders, tensors)
    return encoders.eval()


def encoded_features(encoders: nn.ModuleDict, dataset: Dataset, *, path: Path) -> Features:
    """Features of every sample, computed once into `path`, for these weights and this data set only.

    Raises TrainingHealthError if that changed the encoders, CheckpointError for a table of something else.
    """
    known = encoder_hash(encoders)
    source = f"{known}:{dataset.manifest.sha256}"
    if path.exists():
        return read_features(path, encoder_hash=source)
    every = np.arange(dataset.manifest.num_samples)
    features = encode(encoders, dataset, every)
    if encoder_hash(encoders) != known:
        raise TrainingHealthError("the frozen encoders changed while they encoded", code="ENCODER_DRIFT")
    write_features(features, path, encoder_hash=source)
    return features


def encode(encoders: nn.ModuleDict, dataset: Dataset, idx: NDArray[np.int64]) -> Features:
    """Features of samples idx (N,), always in batches of one size, so that they agree to the last bit."""
    return extract(_batches(dataset, idx, list(encoders)), lambda batch: pooled_features(encoders, batch.signals))


def handmade_features(recipe: Recipe, dataset: Dataset, *, path: Path) -> Features:
    """The strongest hand-made features we know of each kind of stream, also into `path`.

    Only TF-IDF learns, from training rows. A table of earlier code is written anew.
    """
    train = dataset.index.rows("train")
    extractors = {name: _extractor(recipe, dataset, name, train=train) for name in recipe.streams}
    every = np.arange(dataset.manifest.num_samples)
    features = extract(_batches(dataset, every, list(extractors)), handmade(extractors))
    write_features(features, path, encoder_hash=f"handmade:{dataset.manifest.sha256}")
    return features


def mini_rocket_features(
    recipe: Recipe, dataset: Dataset, config: MiniRocketConfig, others: Features, *, path: Path
) -> Features:
    """MiniRocket features of sensor streams, fitted to training samples; other streams keep their hand-made ones.

    Also into `path`; a table of earlier code or another configuration is written anew.
    """
    fitted = {}
    for name in recipe.streams:
        if dataset.schemas[name].kind == "sensor":
            drawn = _drawn(dataset, name, seed=derive_seed(recipe.seed, "mini_rocket", name))
            seed = derive_seed(recipe.seed, "mini_rocket", name, "kernels")
            fitted[name] = MiniRocket.fit(dataset.reader.batch(drawn, streams=[name]).signals[name], config, seed=seed)
    every = np.arange(dataset.manifest.num_samples)
    found = extract(_batches(dataset, every, list(fitted)), handmade(fitted))
    features = Features(others.idx, {**others.values, **found.values}, others.present)
    write_features(features, path, encoder_hash=f"mini_rocket:{dataset.manifest.sha256}")
    return features


def _drawn(dataset: Dataset, stream: str, *, seed: int) -> NDArray[np.int64]:
    """Training samples that have the stream, as many as biases need."""
    rows = dataset.index.rows("train")
    rows = rows[dataset.index.present(stream)[rows]]
    return np.sort(np.random.default_rng(seed).choice(rows, size=min(_FITTED, len(rows)), replace=False))


def _extractor(recipe: Recipe, dataset: Dataset, name: str, *, train: NDArray[np.int64]) -> Extractor:
    match dataset.schemas[name].kind:
        case "sensor":
            return recipe.handmade.get(name, SensorStatistics())
        case "image":
            return ImageStatistics()
        case "text":
            return Words().fit(batch.signals[name] for batch in _batches(dataset, train, [name]))


def _batches(dataset: Dataset, idx: NDArray[np.int64], streams: list[str]) -> Iterator[Batch]:
    for start in range(0, len(idx), BATCH):
        yield dataset.reader.batch(idx[start : start + BATCH], streams=streams)


def encoder_hash(encoders: nn.ModuleDict) -> str:
    """What names the weights of frozen encoders."""
    return state_hash([("encoders", encoders.state_dict())], None)
