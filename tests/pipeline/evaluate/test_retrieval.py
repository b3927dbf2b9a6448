import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import DataError, NotMeasurable
from pipeline.evaluate.retrieval import Relevance, first_ranks, retrieve
from pipeline.evaluate.similarity import Cosine
from tests.pipeline.evaluate.given_scores import GivenScores, cases, rankings

THREE = [[1, 0, 1, 0, 0, 1], [0, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0]]


def retrieve_loop(scores: np.ndarray, relevance: Relevance) -> list[tuple[int, float, float]]:
    """First rank, AP and INP of each query, (0, 0, 0) without a match; an equal score comes before a match."""
    found = []
    for q, own in enumerate(relevance.queries):
        junk = [any(a[q] == b[g] >= 0 for a, b in relevance.junk) for g in range(scores.shape[1])]
        match = [bool(relevance.gallery[g] == own >= 0) for g in range(scores.shape[1])]
        spared = [hit and relevance.spares_matches for hit in match]
        kept = [(scores[q, g], match[g]) for g in range(scores.shape[1]) if spared[g] or not junk[g]]
        hits = [hit for _, hit in sorted(kept, key=lambda item: (-item[0], item[1]))]
        ranks = [rank for rank, hit in enumerate(hits, 1) if hit]
        precision = [n / rank for n, rank in enumerate(ranks, 1)]
        found.append((ranks[0], np.mean(precision), len(ranks) / ranks[-1]) if ranks else (0, 0.0, 0.0))
    return found


def test_three_rankings_have_the_published_values():
    similarity, relevance = rankings(THREE)

    found = retrieve(similarity, relevance)

    assert found.mean_average_precision == pytest.approx(0.7407407407407408, abs=1e-12)
    assert found.mean_inverse_penalty == pytest.approx(0.6666666666666666, abs=1e-12)
    assert found.recall(1) == pytest.approx(0.6666666666666666, abs=1e-12)
    assert found.recall(2) == 1.0
    assert (found.average_precision[0], found.inverse_penalty[0]) == pytest.approx((0.7222222222222222, 0.5))


def test_junk_is_removed_before_anything_is_ranked():
    similarity, relevance = rankings(THREE[:1])
    first = int(similarity.scores[0].argmax())
    junk = np.where(np.arange(6) == first, 7, -1)

    found = retrieve(similarity, Relevance(relevance.queries, relevance.gallery, ((np.array([7]), junk),)))

    assert (found.average_precision[0], found.inverse_penalty[0]) == pytest.approx((0.45, 0.4), abs=1e-12)
    assert found.first_rank.tolist() == [2]


@settings(max_examples=150, deadline=None)
@given(cases(), st.integers(1, 60), st.randoms(use_true_random=False))
def test_every_ranking_equals_the_loop_whatever_the_tile_and_the_order_of_the_gallery(case, tile, random):
    scores, relevance = case
    expected = retrieve_loop(scores, relevance)
    order = random.sample(range(scores.shape[1]), scores.shape[1])
    shuffled = dataclasses.replace(
        relevance, gallery=relevance.gallery[order], junk=tuple((a, b[order]) for a, b in relevance.junk)
    )
    if not any(first for first, _, _ in expected):
        with pytest.raises(NotMeasurable, match="DATA_NO_MATCH"):
            retrieve(GivenScores(scores), relevance)
        with pytest.raises(NotMeasurable, match="DATA_NO_MATCH"):
            first_ranks(GivenScores(scores), relevance)
        return

    found = retrieve(GivenScores(scores[:, order]), shuffled, tile=tile)

    assert found.first_rank.tolist() == [first for first, _, _ in expected]
    assert np.nan_to_num(found.average_precision) == pytest.approx([ap for _, ap, _ in expected])
    assert np.nan_to_num(found.inverse_penalty) == pytest.approx([inp for _, _, inp in expected])
    assert first_ranks(GivenScores(scores[:, order]), shuffled, tile=tile).tolist() == found.first_rank.tolist()


def test_queries_without_a_match_do_not_count():
    scores = GivenScores(np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]))

    found = retrieve(scores, Relevance(np.array([0, 5, -1]), np.array([0, -1])))

    assert found.counted.tolist() == [True, False, False]
    assert (found.recall(1), found.mean_average_precision, found.mean_inverse_penalty) == (1.0, 1.0, 1.0)


def test_equal_embeddings_retrieve_nothing():
    """In float32 the sums of a tile may differ in the last bit from those of another; a tie stays one."""
    x = np.repeat(np.random.default_rng(0).normal(size=(1, 37)), 40, axis=0).astype(np.float32)
    ids = np.arange(40) % 20
    itself = (np.arange(40), np.arange(40))

    for tile in (1, 130, 1 << 20):
        found = retrieve(Cosine(x, x), Relevance(ids, ids, (itself,)), tile=tile)
        assert found.first_rank.tolist() == [39] * 40


def test_what_rounding_cannot_tell_apart_is_a_tie():
    scores, relevance = GivenScores(np.array([[0.5, 0.5 - 1e-8, 0.4]])), Relevance(np.array([1]), np.array([1, 0, 0]))

    assert retrieve(scores, relevance).first_rank.tolist() == [2]
    assert first_ranks(scores, relevance).tolist() == [2]


def test_a_zero_vector_is_like_nothing():
    queries = np.array([[0.0, 0.0], [2.0, 0.0]])

    found = retrieve(Cosine(queries, np.array([[1.0, 0.0], [0.0, 1.0]])), Relevance(np.zeros(2, int), np.array([0, 1])))

    assert found.first_rank.tolist() == [2, 1]


def test_what_cannot_be_retrieved_is_refused():
    x, ids = np.ones((2, 3)), np.zeros(2, np.int64)
    with pytest.raises(NotMeasurable, match="DATA_EMPTY"):
        retrieve(Cosine(x, np.ones((0, 3))), Relevance(ids, ids[:0]))
    with pytest.raises(DataError, match=r"DATA_SHAPE.*one code"):
        retrieve(Cosine(x, x), Relevance(ids, np.zeros(3, np.int64)))
    with pytest.raises(DataError, match=r"DATA_SHAPE.*different dimension"):
        Cosine(x, np.ones((2, 4)))
    bad = x.copy()
    bad[1, 2] = np.nan
    with pytest.raises(DataError, match=r"DATA_NOT_FINITE.*row 1"):
        Cosine(x, bad)
