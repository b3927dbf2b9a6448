"""Public series that ship inside sktime (`pip install kindred[bundled]`), written as a user's raw files would be."""

import os
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from pipeline.errors import EnvironmentFault

BundledName: TypeAlias = Literal["basicmotions", "japanese_vowels"]


def write_bundled(name: BundledName, folder: Path) -> Path:
    """Write `<folder>/<name>.npz` unless it exists; returns its path. Raises EnvironmentFault without sktime.

    basicmotions: signals (80, 6, 100) float32, wrist accelerometer and gyroscope at 10 Hz; activity and split (80,).
    japanese_vowels: cepstra (640, 12, 29) float32, NaN after num_steps (640,), 7 to 29 frames of 6.4 ms; speaker and
    split (640,). Source: the UEA archive (Bagnall et al. 2018, arXiv:1811.00075), its train / test split.
    """
    path = folder / f"{name}.npz"
    if path.exists():
        return path
    arrays = {"basicmotions": _basic_motions, "japanese_vowels": _japanese_vowels}[name]()
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{name}.partial"
    with partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    os.replace(partial, path)
    return path


def _load(name: str) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Series (C, T_i), classes (N,) and splits (N,) in the archive's order, train first."""
    try:
        from sktime import datasets
    except ImportError as error:
        raise EnvironmentFault(
            "the bundled data sets need sktime", code="ENV_MISSING_PACKAGE", fix="pip install 'kindred[bundled]'"
        ) from error
    load = getattr(datasets, name)
    series: list[np.ndarray] = []
    classes, splits = [], []
    for split in ("train", "test"):
        nested, targets = load(split=split, return_type="nested_univ")
        series += [np.stack([np.asarray(channel, np.float32) for channel in row]) for row in nested.to_numpy()]
        classes += [str(target) for target in targets]
        splits += [split] * len(targets)
    return series, np.array(classes), np.array(splits)


def _basic_motions() -> dict[str, np.ndarray]:
    series, classes, splits = _load("load_basic_motions")
    return {"signals": np.stack(series), "activity": classes, "split": splits}


def _japanese_vowels() -> dict[str, np.ndarray]:
    series, classes, splits = _load("load_japanese_vowels")
    num_steps = np.array([values.shape[1] for values in series])
    cepstra = np.full((len(series), len(series[0]), num_steps.max()), np.nan, np.float32)
    for padded, values in zip(cepstra, series, strict=True):
        padded[:, : values.shape[1]] = values
    return {"cepstra": cepstra, "num_steps": num_steps, "speaker": classes, "split": splits}
