"""Connected parts against scipy on the dense matrix."""

import numpy as np
from hypothesis import given, settings
from scipy.sparse.csgraph import connected_components

from pipeline.relations.cliques import Cliques
from pipeline.relations.components import components
from pipeline.relations.edges import Edges
from tests.pipeline.relations.dense import dense_links, some_relation


@settings(derandomize=True, deadline=None, max_examples=200)
@given(some_relation)
def test_components_are_those_of_the_matrix(relation: Cliques | Edges) -> None:
    count, number = connected_components(dense_links(relation), directed=False)
    found = components(relation)

    assert (found.count, found.largest) == (count, np.bincount(number).max())
