"""A few queries of the test split with their nearest samples, to be looked at: hits and misses of several classes.

They are drawn by sample and stratified: misses are as many as hits where there are that many, so their share says
nothing; R@1 does.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from pydantic import JsonValue, TypeAdapter

from modalities.draws import Draws
from pipeline.errors import NotMeasurable
from pipeline.evaluate.evaluation_task import Codes, EvaluationTask
from pipeline.evaluate.features import Features
from pipeline.evaluate.ranking import rank
from pipeline.evaluate.retrieval_task import RetrievalTask, across_streams, of_label
from pipeline.evaluate.similarity import Cosine

MAX_QUERIES = 4
NEIGHBOURS = 5
CANDIDATES = 256
"""Drawn queries that are ranked to find hits and misses among them."""


@dataclass(frozen=True)
class Neighbour:
    """is_match: what the metric asks for. same_label: None where either label is unknown."""

    idx: int
    similarity: float
    is_match: bool
    same_label: bool | None


@dataclass(frozen=True)
class RetrievalExample:
    """first_rank: of the query's best match among all `size` samples that are left without junk."""

    idx: int
    first_rank: int
    size: int
    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True)
class RetrievalExamples:
    """asked: streams that show the query; found: streams of the gallery. Equal ones seek the label, a pair the sample
    itself."""

    asked: tuple[str, ...]
    found: tuple[str, ...]
    examples: tuple[RetrievalExample, ...]

    @property
    def is_cross_modal(self) -> bool:
        return self.asked != self.found


def dump_examples(examples: Sequence[RetrievalExamples]) -> JsonValue:
    """As JSON, for `read_examples`."""
    return TypeAdapter(list[RetrievalExamples]).dump_python(list(examples), mode="json")


def read_examples(document: JsonValue) -> list[RetrievalExamples]:
    """Inverse of `dump_examples`; None is no examples. Raises pydantic's ValidationError."""
    return [] if document is None else TypeAdapter(list[RetrievalExamples]).validate_python(document)


def retrieval_examples(
    features: Features, task: EvaluationTask, pairs: Sequence[tuple[str, str]], *, seed: int
) -> list[RetrievalExamples]:
    """Of all streams together, and of each pair (asked, found) of streams; without what these samples cannot give."""
    return [each for each in _every(features, task, pairs, seed) if each.examples]


def _every(
    features: Features, task: EvaluationTask, pairs: Sequence[tuple[str, str]], seed: int
) -> Iterator[RetrievalExamples]:
    streams = tuple(features.values)
    rows = task.having(features, streams)
    rows = rows[task.labels[rows] >= 0]
    asked = of_label(task.matrix(features, streams)[rows], rows, task)
    yield RetrievalExamples(streams, streams, choose_examples(asked, task.labels, seed=seed))
    for first, second in pairs:
        try:
            asked = across_streams(features, (first, second), task)
        except NotMeasurable:  # `Evaluator` says so under the name of the metric
            continue
        yield RetrievalExamples((first,), (second,), choose_examples(asked, task.labels, seed=seed))


def choose_examples(asked: RetrievalTask, labels: Codes, *, seed: int) -> tuple[RetrievalExample, ...]:
    """At most MAX_QUERIES that have a match, first those whose nearest sample is one; labels (N,) of every sample."""
    draws = Draws.keyed(torch.from_numpy(asked.rows), seed=seed, purpose="retrieval_examples", epoch=0)
    order = draws.uniform(1)[:, 0].argsort(stable=True)[:CANDIDATES]
    similarity = Cosine(asked.queries, asked.gallery)
    ranked = [_example(asked, similarity, query, labels) for query in order.tolist()]
    ranked = [example for example in ranked if example.first_rank]
    hits = [example for example in ranked if example.first_rank == 1]
    misses = [example for example in ranked if example.first_rank > 1]
    num_misses = max(min(len(misses), MAX_QUERIES // 2), MAX_QUERIES - len(hits))
    return (*_spread(hits, labels, MAX_QUERIES - min(num_misses, len(misses))), *_spread(misses, labels, num_misses))


def _example(asked: RetrievalTask, similarity: Cosine, query: int, labels: Codes) -> RetrievalExample:
    ranking = rank(similarity, asked.relevance, query, k=NEIGHBOURS)
    own = asked.rows[query]
    found = zip(asked.rows[ranking.items], ranking.similarities, ranking.matches, strict=True)
    neighbours = (
        Neighbour(int(idx), float(score), bool(match), _same(int(labels[own]), int(labels[idx])))
        for idx, score, match in found
    )
    return RetrievalExample(int(own), ranking.first_rank, ranking.size, tuple(neighbours))


def _same(first: int, second: int) -> bool | None:
    return None if first < 0 or second < 0 else bool(first == second)


def _spread(examples: Sequence[RetrievalExample], labels: Codes, count: int) -> list[RetrievalExample]:
    """`count` of them, the first of every class before the second of any."""
    seen: Counter[int] = Counter()
    rounds = []
    for position, example in enumerate(examples):
        label = int(labels[example.idx])
        rounds.append((seen[label], position, example))
        seen[label] += 1
    return [example for _, _, example in sorted(rounds, key=lambda item: item[:2])[:count]]
