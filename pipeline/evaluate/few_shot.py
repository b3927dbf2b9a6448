"""Few-shot episodes with a prototype classifier on frozen features (arXiv 1703.05175; methods of arXiv 2112.12359).

Features are centred and scaled to length 1. An episode draws `ways` classes, `shots` samples of each as support and
`queries` others, of other groups where groups are given: a person's own samples are more alike. A prototype is the mean
of a class's support, and a query belongs to the prototype of largest cosine.
Transductive: prototypes move to the queries by soft k-means (arXiv 1803.00676), which sees no label of theirs.
Generalised: the queries of known (base) classes and of new ones compete for the prototypes of both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.errors import NotMeasurable
from pipeline.evaluate.episodes import Codes, Episode, Episodes, Pool
from pipeline.evaluate.similarity import Matrix, unit_rows

_Z = 1.959963984540054  # 97.5 % quantile of the normal distribution


@dataclass(frozen=True)
class EpisodeMean:
    """Mean over episodes and its 95 % interval by the normal approximation."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Generalised:
    """Accuracy of base and of novel queries in the joint label space, and their harmonic mean in each episode."""

    base: EpisodeMean
    novel: EpisodeMean
    harmonic: EpisodeMean


def prototypes(x: Matrix, y: Codes, classes: Sequence[int] | Codes) -> Matrix:
    """Mean of the rows (N, D) of each class (C, D), of length 1; zeros where it is the origin."""
    return unit_rows(np.stack([x[y == c].mean(axis=0) for c in classes]))


def nearest(x: Matrix, prototype: Matrix) -> Codes:
    """Number of the prototype (C, D) of largest cosine for rows x (N, D) of length 1; the first of equals."""
    return (x @ prototype.T).argmax(axis=1)


def refined(prototype: Matrix, *, shots: Matrix, x: Matrix, steps: int, temperature: float) -> Matrix:
    """Prototypes (C, D) after soft k-means over the queries x (Q, D); shots (C, K, D) keep their full weight."""
    for _ in range(steps):
        logits = (x @ prototype.T) / temperature
        weight = np.exp(logits - logits.max(axis=1, keepdims=True))
        weight /= weight.sum(axis=1, keepdims=True)
        prototype = unit_rows(shots.sum(axis=1) + weight.T @ x)
    return prototype


def centred(x: Matrix, centre: Matrix) -> Matrix:
    """Rows (N, D) of length 1 about a centre (D,), such as the mean of the training split."""
    return unit_rows(x - centre)


def few_shot(
    x: Matrix,
    y: Codes,
    episodes: Episodes,
    *,
    rng: np.random.Generator,
    transductive: bool,
    groups: Codes | None = None,
) -> EpisodeMean:
    """Accuracy on rows x (N, D) of length 1 of classes y (N,), -1 = unlabelled. groups (N,): see `Pool`.

    Classes with fewer than shots + queries samples take no part; raises NotMeasurable where fewer than `ways` do.
    """
    pool = Pool(_members(y, episodes, least=episodes.ways), groups=groups)
    found = []
    for _ in range(episodes.number):
        shots, queries, truth = _signals(x, pool.draw(episodes, rng))
        prototype = unit_rows(shots.mean(axis=1))
        if transductive:
            prototype = refined(
                prototype, shots=shots, x=queries, steps=episodes.steps, temperature=episodes.temperature
            )
        found.append((nearest(queries, prototype) == truth).mean())
    return _mean(found)


def generalised_few_shot(
    x: Matrix,
    y: Codes,
    episodes: Episodes,
    *,
    base: Matrix,
    base_classes: Codes,
    rng: np.random.Generator,
    groups: Codes | None = None,
) -> Generalised:
    """Base classes (B,) have their prototypes (B, D) from training; of the others, each episode knows `shots` samples.

    An episode asks `queries` of every base class and of `ways` new ones. Raises NotMeasurable where classes with
    shots + queries samples are fewer than that.
    """
    novel = _members(np.where(np.isin(y, base_classes), -1, y), episodes, least=episodes.ways)
    known = [np.flatnonzero(y == c) for c in base_classes]
    if not known or min(map(len, known)) < episodes.queries:
        raise _too_few(f"every base class needs {episodes.queries} queries", episodes.queries, [len(k) for k in known])
    pool, expected = Pool(novel, known, groups), np.repeat(np.arange(len(base)), episodes.queries)
    found = []
    for _ in range(episodes.number):
        episode = pool.draw(episodes, rng)
        shots, queries, truth = _signals(x, episode)
        joint = np.concatenate([base, unit_rows(shots.mean(axis=1))])
        right = nearest(x[episode.known.ravel()], joint) == expected, nearest(queries, joint) == truth + len(base)
        shares = [float(part.mean()) for part in right]
        found.append((*shares, 2 * shares[0] * shares[1] / max(sum(shares), np.finfo(float).tiny)))
    return Generalised(*(_mean(column) for column in zip(*found, strict=True)))


def _members(y: Codes, episodes: Episodes, *, least: int) -> list[Codes]:
    needed = episodes.shots + episodes.queries
    classes, counts = np.unique(y[y >= 0], return_counts=True)
    if (counts >= needed).sum() < least:
        sizes = dict(zip(classes.tolist(), counts.tolist(), strict=True))
        raise _too_few(
            f"{episodes.ways}-way {episodes.shots}-shot episodes with {episodes.queries} queries need {least} classes "
            f"of {needed} samples",
            f"{least} classes of {needed} samples",
            sizes,
        )
    return [np.flatnonzero(y == c) for c in classes[counts >= needed]]


def _signals(x: Matrix, episode: Episode) -> tuple[Matrix, Matrix, Codes]:
    """Support (C, K, D), queries (C * Q, D) and the number of each query's class."""
    ways, queries = episode.queries.shape
    return x[episode.support], x[episode.queries.ravel()], np.repeat(np.arange(ways), queries)


def _mean(values: Sequence[float]) -> EpisodeMean:
    mean = float(np.mean(values))
    half = _Z * float(np.std(values, ddof=1)) / len(values) ** 0.5 if len(values) > 1 else np.inf
    return EpisodeMean(mean, max(0.0, mean - half), min(1.0, mean + half))


def _too_few(message: str, expected: object, got: object) -> NotMeasurable:
    return NotMeasurable(
        message, code="DATA_TOO_FEW", field="few_shot", expected=expected, got=got, fix="lower ways, shots or queries"
    )
