"""Few-shot episodes on stored features as flat figures."""

import numpy as np

from modalities.draws import derive_seed
from pipeline.evaluate.episodes import Episodes
from pipeline.evaluate.evaluate_config import FewShotConfig
from pipeline.evaluate.evaluation_task import Codes, EvaluationTask, Matrix, group_codes
from pipeline.evaluate.few_shot import (
    EpisodeMean,
    centred,
    few_shot,
    generalised_few_shot,
    prototypes,
)

Figures = dict[str, float]


def standard(
    fused: Matrix, rows: Codes, task: EvaluationTask, config: FewShotConfig, *, shots: int, seed: int
) -> Figures:
    """Inductive and transductive accuracy of the same episodes, of test rows (n,) of features (N, D)."""
    episodes = _episodes(config, shots, len(np.unique(task.labels[rows])))
    x, y, groups = _centred(fused, task)[rows], task.labels[rows], _groups(task, rows, config)
    figures: Figures = {"ways": episodes.ways}
    for name, transductive in (("inductive", False), ("transductive", True)):
        rng = np.random.default_rng(derive_seed(seed, "few_shot", shots))
        figures |= _named(name, few_shot(x, y, episodes, rng=rng, transductive=transductive, groups=groups))
    return figures


def generalised(
    fused: Matrix, rows: Codes, task: EvaluationTask, config: FewShotConfig, *, shots: int, seed: int
) -> Figures:
    """A keyed half of the classes is known from the training split; the test split gives shots of the others."""
    rng = np.random.default_rng(derive_seed(seed, "few_shot/generalised", shots))
    known = np.unique(task.labels[task.train][task.labels[task.train] >= 0])
    base = np.sort(rng.choice(known, len(known) // 2, replace=False))
    x, y = _centred(fused, task), task.labels
    novel = len(np.setdiff1d(np.unique(y[rows]), base))
    train = task.train[np.isin(y[task.train], base)]
    found = generalised_few_shot(
        x[rows],
        y[rows],
        _episodes(config, shots, novel),
        base=prototypes(x[train], y[train], base),
        base_classes=base,
        rng=rng,
        groups=_groups(task, rows, config),
    )
    return {**_named("base", found.base), **_named("novel", found.novel), **_named("harmonic", found.harmonic)}


def _episodes(config: FewShotConfig, shots: int, classes: int) -> Episodes:
    return Episodes(ways=min(config.ways, classes), shots=shots, queries=config.queries, number=config.episodes)


def _groups(task: EvaluationTask, rows: Codes, config: FewShotConfig) -> Codes | None:
    """Groups of the test rows (n,), where support and queries must not share one."""
    return group_codes(task.groups[rows]) if config.across_subjects and task.grouped else None


def _centred(fused: Matrix, task: EvaluationTask) -> Matrix:
    return centred(fused, fused[task.train].mean(axis=0))


def _named(name: str, found: EpisodeMean) -> Figures:
    return {name: found.mean, f"{name}_low": found.low, f"{name}_high": found.high}
