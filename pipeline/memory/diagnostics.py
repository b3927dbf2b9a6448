"""Figures by which a collapse of the clusters, or clusters of a nuisance, are seen."""

import numpy as np

from modalities.draws import derive_seed
from pipeline.data.permutation import permute
from pipeline.memory.pseudo_labels import PseudoLabels
from pipeline.memory.view_space import ViewSpace

_MOST_ROWS = 20_000


def space_figures(space: ViewSpace, step: int) -> dict[str, float]:
    """`valid_share`, `staleness` (mean steps since a row was written) and, for each granularity, `cluster_figures`."""
    bank = space.bank
    found = {"valid_share": bank.num_valid / max(1, bank.num_rows), "staleness": bank.mean_age(step)}
    for number, labels in enumerate(space.granularities):
        suffix = "" if number == 0 else f"_{number + 1}"
        found |= {f"{name}{suffix}": value for name, value in cluster_figures(labels).items()}
    return found


def cluster_figures(labels: PseudoLabels) -> dict[str, float]:
    """Of pseudo-labels; empty where there are none.

    clusters: those with members. max_share: labelled rows in the largest. churn: label changes in this epoch per
    labelled row, repairs included. change_ratio: share of the last batch that changed. repairs: since the start.
    """
    if labels.assignment is None:
        return {}
    counts = labels.assignment.centroids.counts
    total = max(1, int(counts.sum()))
    return {
        "clusters": float((counts > 0).sum()),
        "max_share": int(counts.max()) / total,
        "churn": labels.changes / total,
        "change_ratio": labels.change_ratio,
        "repairs": float(labels.repairs),
    }


def agreement(labels: np.ndarray, column: np.ndarray) -> dict[str, float]:
    """`nmi` and `ami` of pseudo-labels (n,) with a column of group or class numbers (n,), -1 = unknown in either.

    On 20 000 rows at most, drawn by a fixed key. A high value with a device or subject means that the clusters are
    those of the nuisance. Empty where no row is known in both.
    """
    from sklearn.metrics import adjusted_mutual_info_score, normalized_mutual_info_score  # imported late: a second

    known = np.flatnonzero((labels >= 0) & (column >= 0))
    if not len(known):
        return {}
    drawn = permute(np.arange(min(len(known), _MOST_ROWS)), size=len(known), key=derive_seed("agreement"))
    a, b = column[known[drawn]], labels[known[drawn]]
    return {"nmi": float(normalized_mutual_info_score(a, b)), "ami": float(adjusted_mutual_info_score(a, b))}
