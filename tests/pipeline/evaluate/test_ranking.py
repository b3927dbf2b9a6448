import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import NotMeasurable
from pipeline.evaluate.ranking import rank
from pipeline.evaluate.retrieval import first_ranks
from tests.pipeline.evaluate.given_scores import GivenScores, cases


@settings(max_examples=150, deadline=None)
@given(cases(), st.integers(1, 10))
def test_what_is_shown_is_the_head_of_what_the_metric_ranks(case, k):
    scores, relevance = case
    try:
        expected = first_ranks(GivenScores(scores), relevance).tolist()
    except NotMeasurable:
        expected = [0] * len(scores)

    for query, first in enumerate(expected):
        found = rank(GivenScores(scores), relevance, query, k=k)

        junk = [any(a[query] == b[g] >= 0 for a, b in relevance.junk) for g in range(scores.shape[1])]
        match = [bool(relevance.gallery[g] == relevance.queries[query] >= 0) for g in range(scores.shape[1])]
        kept = [g for g in range(scores.shape[1]) if not junk[g] or (match[g] and relevance.spares_matches)]
        assert (found.first_rank, found.size) == (first, len(kept))
        assert len(found.items) == min(k, len(kept))
        assert set(found.items.tolist()) <= set(kept)
        assert found.matches.tolist() == [match[g] for g in found.items]
        assert found.similarities.tolist() == sorted((scores[query, g] for g in kept), reverse=True)[:k]
        hits = np.flatnonzero(found.matches)
        assert (int(hits[0]) + 1 if len(hits) else 0) == (first if 0 < first <= k else 0)
