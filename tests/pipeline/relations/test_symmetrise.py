"""Pairs become a clean symmetric graph, and what was changed is counted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.relations.symmetrise import refuse_too_many, symmetrise


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.integers(1, 12), st.data())
def test_counts_and_weights_are_those_of_a_dictionary(count: int, data: st.DataObject) -> None:
    node = st.integers(0, count - 1)
    pairs = data.draw(st.lists(st.tuples(node, node, st.sampled_from([0.5, 1.0, 2.0, 4.0])), max_size=50))
    heaviest: dict[tuple[int, int], float] = {}
    for a, b, weight in pairs:
        if a != b:
            heaviest[a, b] = max(weight, heaviest.get((a, b), 0.0))
    expected = np.zeros((count, count), np.float32)
    for (a, b), weight in heaviest.items():
        expected[a, b] = expected[b, a] = max(weight, heaviest.get((b, a), 0.0))
    columns = np.array(pairs, np.float64).reshape(-1, 3)
    found = symmetrise(count, columns[:, 0].astype(int), columns[:, 1].astype(int), columns[:, 2].astype(np.float32))

    assert found.self_loops == sum(a == b for a, b, _ in pairs)
    assert found.duplicates == len(pairs) - found.self_loops - len(heaviest)
    assert found.one_directional == sum((b, a) not in heaviest for a, b in heaviest)
    edges = found.edges
    assert (edges.indptr.dtype, edges.indices.dtype, edges.weights.dtype) == (np.int64, np.int32, np.float32)
    got = np.zeros_like(expected)
    got[np.repeat(np.arange(count), edges.degree()), edges.indices] = edges.weights
    assert np.array_equal(got, expected)
    rows = np.split(edges.indices, edges.indptr[1:-1])
    assert all((np.diff(row) > 0).all() for row in rows)


def test_too_many_links_are_refused_before_they_are_built() -> None:
    with pytest.raises(ConfigError, match="1000000000000 links"):
        refuse_too_many(10**12, field="relations.x.within_s", fix="lower within_s")
