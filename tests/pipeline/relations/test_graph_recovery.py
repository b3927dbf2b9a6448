"""Graph recovery against torchmetrics and scikit-learn, and on embeddings whose answer is known."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torchmetrics.functional.retrieval import retrieval_recall, retrieval_reciprocal_rank

from pipeline.errors import ConfigError, DataError
from pipeline.relations.cliques import Cliques, cliques
from pipeline.relations.edges import Edges
from pipeline.relations.graph_recovery import RecoverySample, graph_recovery
from pipeline.relations.symmetrise import symmetrise
from tests.pipeline.relations.dense import dense_links

GENERATOR = np.random.default_rng(0)
RANDOM = symmetrise(40, GENERATOR.integers(0, 40, 60), GENERATOR.integers(0, 40, 60)).edges


@pytest.mark.parametrize("relation", [RANDOM, cliques(np.arange(40) % 7)], ids=["edges", "cliques"])
def test_figures_are_those_of_torchmetrics_over_all_pairs(relation: Cliques | Edges) -> None:
    embeddings = np.random.default_rng(1).normal(size=(40, 5)) * 3.0
    found = graph_recovery(relation, embeddings, ks=(1, 5))

    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    similarity, links = unit @ unit.T, dense_links(relation) > 0
    others = ~np.eye(40, dtype=bool) & (relation.degree() > 0)[:, None]
    assert found.auroc == pytest.approx(roc_auc_score(links[others], similarity[others]), abs=1e-5)
    queries = [  # torchmetrics takes what is not above 0 for irrelevant
        (torch.tensor(np.delete(similarity[i] + 1, i)), torch.tensor(np.delete(links[i], i)))
        for i in np.flatnonzero(relation.degree())
    ]
    assert found.num_anchors == len(queries)
    assert found.mrr == pytest.approx(np.mean([retrieval_reciprocal_rank(s, t) for s, t in queries]), abs=1e-6)
    for k, recall in found.recall.items():
        assert recall == pytest.approx(np.mean([retrieval_recall(s, t, top_k=k) for s, t in queries]), abs=1e-6)


def test_a_recovered_graph_is_one_and_collapsed_embeddings_recover_nothing() -> None:
    topic = np.repeat(np.arange(6), 10)
    relation = cliques(topic)
    recovered = graph_recovery(relation, np.eye(6)[topic], ks=(9,))
    collapsed = graph_recovery(relation, np.full((60, 7), 0.37), ks=(9,))

    assert (recovered.auroc, recovered.mrr, recovered.recall[9]) == (1.0, 1.0, 1.0)
    assert (collapsed.auroc, collapsed.recall[9]) == (0.5, 0.0)
    assert collapsed.mrr == pytest.approx(1 / 51)


def test_a_keyed_sample_is_near_the_whole_and_the_same_each_time() -> None:
    generator = np.random.default_rng(2)
    topic = generator.integers(0, 50, 1500)
    embeddings = generator.normal(size=(50, 8))[topic] + 1.2 * generator.normal(size=(1500, 8))
    relation = cliques(topic)
    exact = graph_recovery(relation, embeddings, sample=RecoverySample(anchors=1500, candidates=1500, neighbours=200))
    small = RecoverySample(anchors=300, candidates=500, neighbours=20, seed=3)
    sampled = graph_recovery(relation, embeddings, sample=small)

    assert sampled.auroc == pytest.approx(exact.auroc, abs=0.02)
    assert sampled.num_anchors == 300
    assert graph_recovery(relation, embeddings, sample=small) == sampled


def test_bad_embeddings_are_refused_and_no_links_give_no_figures() -> None:
    relation = cliques(np.array([0, 0, 1]))
    with pytest.raises(ConfigError, match="one embedding per sample"):
        graph_recovery(relation, np.zeros((4, 2)))
    with pytest.raises(DataError, match="node 1 is not finite"):
        graph_recovery(relation, np.array([[1.0, 2], [np.nan, 0], [0, 1]]))
    assert np.isnan(graph_recovery(cliques(np.array([-1, -1])), np.ones((2, 2))).auroc)
