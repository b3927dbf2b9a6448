"""What both forms of a relation promise, against dense matrices; and samples of links."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.relations.cliques import Cliques, cliques
from pipeline.relations.edges import Edges
from pipeline.relations.relation import sample_links
from pipeline.relations.symmetrise import symmetrise
from tests.pipeline.relations.dense import dense_links, some_relation

thorough = settings(derandomize=True, deadline=None, max_examples=150)


@thorough
@given(some_relation)
def test_a_relation_is_symmetric_without_self_loops_and_counts_its_links(relation: Cliques | Edges) -> None:
    matrix = dense_links(relation)

    assert np.array_equal(matrix, matrix.T)
    assert not matrix.diagonal().any()
    assert np.array_equal(relation.degree(), np.count_nonzero(matrix, axis=1))
    assert relation.num_links == np.count_nonzero(matrix)


@thorough
@given(some_relation, st.data())
def test_links_of_a_batch_are_the_matrix_also_where_nodes_repeat(
    relation: Cliques | Edges, data: st.DataObject
) -> None:
    matrix = dense_links(relation)
    nodes = st.lists(st.integers(0, relation.num_nodes - 1), max_size=12)
    rows, columns = (np.array(data.draw(nodes), np.int64) for _ in range(2))

    assert np.array_equal(relation.linked(rows), matrix[np.ix_(rows, rows)])
    assert np.array_equal(relation.links(rows, columns), matrix[np.ix_(rows, columns)])
    assert relation.linked(rows).dtype == np.float32


@thorough
@given(some_relation, st.integers(0, 2**32))
def test_a_draw_is_a_neighbour_and_depends_on_its_own_node_and_number_alone(
    relation: Cliques | Edges, seed: int
) -> None:
    matrix = dense_links(relation)
    generator = np.random.default_rng(seed)
    nodes = generator.integers(0, relation.num_nodes, 40)
    uniform = np.concatenate([generator.random(38), [0.0, np.nextafter(1.0, 0.0)]])
    drawn = relation.draw(nodes, uniform)

    alone = relation.degree()[nodes] == 0
    assert np.array_equal(drawn == -1, alone)
    assert (matrix[nodes[~alone], drawn[~alone]] > 0).all()
    assert np.array_equal(drawn[::-1], relation.draw(nodes[::-1], uniform[::-1]))
    assert drawn[7:8].tolist() == relation.draw(nodes[7:8], uniform[7:8]).tolist()


def test_a_draw_takes_no_memory_of_the_number_of_groups() -> None:
    relation = cliques(np.arange(1_000_000) // 2)
    nodes, uniform = np.arange(512), np.zeros(512)
    relation.draw(nodes, uniform)  # what is worked out once
    tracemalloc.start()
    drawn = relation.draw(nodes, uniform)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert drawn.tolist() == (nodes ^ 1).tolist()
    assert peak < 100_000


def _weighted_star() -> Edges:
    weights = np.array([1, 2, 5], np.float32)
    return symmetrise(5, np.zeros(3, int), np.array([1, 2, 3]), weights).edges


@pytest.mark.parametrize(
    ("relation", "expected"),
    [
        (_weighted_star(), {1: 1 / 8, 2: 2 / 8, 3: 5 / 8}),
        (symmetrise(4, np.zeros(3, int), np.array([1, 2, 3])).edges, {1: 1 / 3, 2: 1 / 3, 3: 1 / 3}),
        (cliques(np.array([0, 0, 0, 1, 0])), {1: 1 / 3, 2: 1 / 3, 4: 1 / 3}),
        (cliques(np.array([0, 0, 0, 0, 0]), np.array([0, 0, 1, 1, 2])), {2: 1 / 3, 3: 1 / 3, 4: 1 / 3}),
    ],
    ids=["weighted", "equal", "clique", "cells"],
)
def test_draws_follow_the_weights(relation: Cliques | Edges, expected: dict[int, float]) -> None:
    grid = (np.arange(24_000) + 0.5) / 24_000
    drawn = relation.draw(np.zeros(24_000, np.int64), grid)

    assert {n: round(float(np.mean(drawn == n)), 4) for n in set(drawn.tolist())} == pytest.approx(expected, abs=1e-4)


@thorough
@given(some_relation, st.integers(1, 50), st.integers(0, 100))
def test_sampled_links_are_distinct_links(relation: Cliques | Edges, limit: int, key: int) -> None:
    matrix = dense_links(relation)
    sources, targets = sample_links(relation, limit, key=key)

    assert len(sources) == min(limit, relation.num_links)
    assert (matrix[sources, targets] > 0).all()
    assert len(set(zip(sources.tolist(), targets.tolist(), strict=True))) == len(sources)


def test_a_clique_of_a_million_costs_bytes_per_node_not_per_link() -> None:
    relation = cliques(np.zeros(10**6, np.int64))
    held = sum(array.nbytes for array in (relation.group, relation.members, relation.place))

    assert relation.num_links == 10**6 * (10**6 - 1)
    assert held == 12 * 10**6
