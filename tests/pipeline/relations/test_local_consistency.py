"""Local consistency against loops, published figures, and what nearest neighbours really reach."""

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import RadiusNeighborsClassifier

from pipeline.relations import local_consistency as module
from pipeline.relations.cliques import Cliques, cliques
from pipeline.relations.edges import Edges
from pipeline.relations.local_consistency import local_consistency
from pipeline.relations.symmetrise import symmetrise
from tests.pipeline.relations.dense import consistency_by_loops, dense_links, some_relation


def test_the_chain_of_the_specification() -> None:
    chain = symmetrise(6, np.arange(5), np.arange(1, 6)).edges
    found = local_consistency(chain, np.array([0, 0, 0, 1, 1, 1]))

    assert found.node == pytest.approx(0.8333333333, abs=1e-9)
    assert found.edge == pytest.approx(0.8)
    assert (found.num_nodes, found.num_links) == (6, 10)


@settings(derandomize=True, deadline=None, max_examples=400)
@given(some_relation, st.data())
def test_all_figures_are_those_of_loops(relation: Cliques | Edges, data: st.DataObject) -> None:
    size = relation.num_nodes
    labels = np.array(data.draw(st.lists(st.integers(-1, 3), min_size=size, max_size=size)), np.int64)
    found = local_consistency(relation, labels)

    expected = consistency_by_loops(dense_links(relation), labels)
    assert (found.node, found.edge, found.majority) == pytest.approx(expected, nan_ok=True)


def test_chunks_do_not_change_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    edges = symmetrise(50, generator.integers(0, 50, 300), generator.integers(0, 50, 300)).edges
    labels = generator.integers(-1, 4, 50)
    whole = local_consistency(edges, labels)
    monkeypatch.setattr(module, "_CHUNK", 7)

    assert astuple(local_consistency(edges, labels)) == pytest.approx(astuple(whole))


def _as_edges(relation: Cliques) -> Edges:
    source, target = np.nonzero(dense_links(relation))
    return symmetrise(relation.num_nodes, source, target).edges


@pytest.mark.parametrize("seed", range(5))
def test_six_cliques_with_label_noise_bound_what_neighbours_reach(seed: int) -> None:
    """If r-balls are the cliques, the majority vote is right as often as LC_maj, a uniform neighbour as LC_node."""
    generator = np.random.default_rng(seed)
    topic = np.repeat(np.arange(6), 10)
    labels = topic % 3
    noisy = generator.random(60) < 0.2
    labels[noisy] = generator.integers(0, 3, int(noisy.sum()))
    angle = topic * np.pi / 3 + generator.uniform(-0.01, 0.01, 60)
    embeddings = np.stack([np.cos(angle), np.sin(angle)], axis=1)

    majority, uniform = [], []
    for node in range(60):
        others = np.delete(np.arange(60), node)
        classifier = RadiusNeighborsClassifier(radius=0.1).fit(embeddings[others], labels[others])
        majority.append(classifier.predict(embeddings[node : node + 1])[0] == labels[node])
        ball = others[np.linalg.norm(embeddings[others] - embeddings[node], axis=1) < 0.1]
        uniform.append(np.mean(labels[ball] == labels[node]))

    for relation in (cliques(topic), _as_edges(cliques(topic))):
        found = local_consistency(relation, labels)
        assert found.majority == pytest.approx(np.mean(majority), abs=1e-12)
        assert found.node == pytest.approx(np.mean(uniform), abs=1e-12)


def test_nothing_counts_where_nothing_is_linked_or_known() -> None:
    for relation in (cliques(np.array([-1, -1, 0])), symmetrise(3, np.zeros(0, int), np.zeros(0, int)).edges):
        found = local_consistency(relation, np.array([0, 0, 0]))
        assert np.isnan([found.node, found.edge, found.majority]).all()
        assert found.num_nodes == 0
    assert local_consistency(cliques(np.array([0, 0])), np.array([-1, 1])).num_links == 0
