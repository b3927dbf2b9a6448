import dataclasses

import numpy as np

from pipeline.evaluate.evaluation_task import EvaluationTask
from pipeline.evaluate.features import Features
from pipeline.evaluate.retrieval import first_ranks
from pipeline.evaluate.retrieval_examples import (
    MAX_QUERIES,
    NEIGHBOURS,
    choose_examples,
    dump_examples,
    read_examples,
    retrieval_examples,
)
from pipeline.evaluate.retrieval_task import of_label
from pipeline.evaluate.similarity import Cosine

COUNT, CLASSES = 120, 5


def task(labels: np.ndarray) -> EvaluationTask:
    """Two windows a recording, four a session; the first half trains."""
    rows = np.arange(len(labels))
    return EvaluationTask(
        train=rows[: len(rows) // 2],
        test=rows[len(rows) // 2 :],
        labels=labels,
        identities=labels,
        records=rows // 2,
        sessions=rows // 4,
        groups=np.array([f"s{row % 3}" for row in rows]),
        content=dict.fromkeys(("imu", "note"), rows),
    )


def features(labels: np.ndarray, *, noise: float) -> Features:
    rng, present = np.random.default_rng(0), np.ones(len(labels), bool)
    own = rng.normal(size=(len(labels), 4)).astype(np.float32)
    x = np.concatenate([np.eye(CLASSES, dtype=np.float32)[labels], own], axis=1)
    values = {name: x + rng.normal(size=x.shape, scale=noise).astype(np.float32) for name in ("imu", "note")}
    return Features(np.arange(len(labels)), values, {"imu": present, "note": present})


def labels() -> np.ndarray:
    return np.random.default_rng(1).integers(0, CLASSES, COUNT)


def test_examples_are_hits_and_misses_of_several_classes_with_the_ranks_of_the_metric():
    classes = labels()
    given, table = task(classes), features(classes, noise=0.5)

    (fused, pair) = retrieval_examples(table, given, [("note", "imu")], seed=0)

    assert (fused.is_cross_modal, pair.is_cross_modal) == (False, True)
    asked = of_label(given.matrix(table, ["imu", "note"])[given.test], given.test, given)
    ranks = dict(
        zip(given.test.tolist(), first_ranks(Cosine(asked.queries, asked.gallery), asked.relevance), strict=True)
    )
    assert [example.first_rank for example in fused.examples] == [ranks[example.idx] for example in fused.examples]
    half = MAX_QUERIES // 2
    for found in (fused, pair):
        hits = [example.first_rank == 1 for example in found.examples]
        assert hits == [True] * half + [False] * half
        assert len({example.idx for example in found.examples}) == MAX_QUERIES
        assert {len(example.neighbours) for example in found.examples} == {NEIGHBOURS}
        for several in (found.examples[:half], found.examples[half:]):
            assert len({classes[example.idx] for example in several}) == half
        for example in found.examples:
            assert example.neighbours[0].is_match == (example.first_rank == 1)
            for each in example.neighbours:
                assert each.same_label == (classes[each.idx] == classes[example.idx])
                assert each.is_match == (each.idx == example.idx if found is pair else each.same_label)


def test_perfect_features_have_no_misses_to_show():
    classes = labels()
    given, table = task(classes), features(classes, noise=0.0)
    table = dataclasses.replace(table, values={name: x[:, :CLASSES] for name, x in table.values.items()})

    (fused,) = retrieval_examples(table, given, [], seed=0)

    assert [example.first_rank for example in fused.examples] == [1] * MAX_QUERIES
    assert len({classes[example.idx] for example in fused.examples}) == MAX_QUERIES


def test_who_is_drawn_depends_on_the_sample_and_not_on_its_place():
    classes = labels()
    given = task(classes)
    x = features(classes, noise=0.5).values["imu"][given.test]
    order = np.random.default_rng(2).permutation(len(x))

    first = choose_examples(of_label(x, given.test, given), classes, seed=0)
    second = choose_examples(of_label(x[order], given.test[order], given), classes, seed=0)

    assert [example.idx for example in first] == [example.idx for example in second]
    assert choose_examples(of_label(x, given.test, given), classes, seed=1) != first


def test_samples_that_cannot_be_retrieved_give_no_examples():
    alone = np.full(COUNT, -1)

    assert retrieval_examples(features(labels(), noise=0.5), task(alone), [], seed=0) == []
    one = dataclasses.replace(task(labels()), train=np.arange(1))
    assert len(retrieval_examples(features(labels(), noise=0.5), one, [("note", "imu")], seed=0)) == 1


def test_examples_survive_json():
    found = retrieval_examples(features(labels(), noise=0.5), task(labels()), [("note", "imu")], seed=0)

    assert read_examples(dump_examples(found)) == found
    assert read_examples(None) == []
