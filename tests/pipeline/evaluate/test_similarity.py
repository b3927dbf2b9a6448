import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from pipeline.evaluate.similarity import Cosine, unit_rows


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_are_the_cosines_of_these_queries(dtype):
    rng = np.random.default_rng(0)
    queries, gallery = rng.normal(size=(7, 5)).astype(dtype), rng.normal(size=(4, 5)).astype(dtype)

    found = Cosine(queries, gallery).rows(2, 5)

    assert found.dtype == dtype
    assert found == pytest.approx(cosine_similarity(queries, gallery)[2:5], abs=1e-6)


def test_tiny_and_huge_vectors_get_length_one():
    rows = np.array([[1e-30, 0], [3e37, 4e37], [0, 0]], np.float32)

    assert unit_rows(rows) == pytest.approx(np.array([[1, 0], [0.6, 0.8], [0, 0]]))
