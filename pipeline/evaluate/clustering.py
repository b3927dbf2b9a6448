"""Whether k-means of frozen features finds the classes: NMI, ARI, AMI."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from pipeline.errors import NotMeasurable
from pipeline.evaluate.cluster_agreement import mutual_information
from pipeline.evaluate.similarity import Matrix, unit_rows

_STARTS = 10


@dataclass(frozen=True)
class Clustering:
    """Agreement of clusters with classes. AMI and ARI are 0 for what chance gives, 1 for the same partition."""

    nmi: float
    ari: float
    ami: float


def cluster(x: Matrix, y: NDArray[np.int64], *, seed: int) -> Clustering:
    """k-means of rows (N, D), scaled to length 1, with as many clusters as classes y (N,), -1 = unlabelled: not used.

    Raises NotMeasurable for fewer than two classes, DataError for features that are not finite.
    """
    rows = unit_rows(x[y >= 0])
    truth = y[y >= 0]
    num = len(np.unique(truth))
    if num < 2:
        raise NotMeasurable(
            "clusters of one class agree with anything", code="DATA_TOO_FEW", expected="2 classes", got=num
        )
    clusters = KMeans(num, n_init=_STARTS, random_state=seed % (1 << 32)).fit_predict(rows).astype(np.int64)  # pyright: ignore[reportArgumentType] - its default is a word
    nmi, ami = mutual_information(clusters, truth)
    return Clustering(nmi, float(adjusted_rand_score(truth, clusters)), ami)
