"""What the pseudo-labels of a view space follow: the label, or who and what recorded the sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import adjusted_mutual_info_score
from torchmetrics.functional.clustering import normalized_mutual_info_score

MAX_ROWS = 20_000
"""Samples that are compared, drawn from all of them: the expected information of more takes minutes."""
LEAST = 0.05
"""AMI below which clusters do not follow a column."""
TIE = 0.02
"""Difference of AMI below which two columns are followed alike."""


@dataclass(frozen=True)
class Column:
    """A column of the index. codes: (M,) int64, a number for each value, -1 where unknown."""

    name: str
    kind: Literal["label", "group"]
    codes: NDArray[np.int64]


@dataclass(frozen=True)
class Agreement:
    """How far clusters and a column tell the same, over the `samples` that have both, with `values` different values.

    nmi: mutual information over the mean entropy, in [0, 1]; it grows with the number of values alone. ami: the same
    less what chance gives, 1 for equal partitions, around 0 for independent ones. None where no sample has both.
    """

    column: str
    kind: Literal["label", "group"]
    samples: int
    values: int
    nmi: float | None
    ami: float | None


@dataclass(frozen=True)
class SpaceSummary:
    """Pseudo-labels of one view space. sizes: of the clusters that have samples, the largest first."""

    space: str
    without: int
    sizes: tuple[int, ...]
    agreements: tuple[Agreement, ...]

    @property
    def samples(self) -> int:
        """Samples with a pseudo-label."""
        return sum(self.sizes)

    @property
    def max_share(self) -> float:
        """Share of the largest cluster; 0 where there is none."""
        return self.sizes[0] / self.samples if self.sizes else 0.0

    @property
    def most(self) -> float | None:
        """AMI of the column that the clusters follow most; None where they follow none."""
        found = [agreement.ami for agreement in self.agreements if agreement.ami is not None]
        return max(found) if found and max(found) >= LEAST else None

    def metrics(self) -> dict[str, float]:
        """Flat names for tracking: `pseudo_labels/<space>/...`."""
        prefix = f"pseudo_labels/{self.space}"
        found: dict[str, float] = {f"{prefix}/clusters": len(self.sizes), f"{prefix}/max_share": self.max_share}
        for agreement in self.agreements:
            if agreement.nmi is not None and agreement.ami is not None:
                found[f"{prefix}/{agreement.column}/nmi"] = agreement.nmi
                found[f"{prefix}/{agreement.column}/ami"] = agreement.ami
        return found


@dataclass(frozen=True)
class Finding:
    """One sentence on a view space. is_warning: its clusters follow a group no less than the label."""

    text: str
    is_warning: bool


def label_column(name: str, classes: NDArray[np.int64]) -> Column:
    """A label column from class numbers (M,), -1 where unlabelled."""
    return Column(name, "label", classes)


def group_column(name: str, values: NDArray[np.str_]) -> Column:
    """A group column from its values (M,), "" where unknown."""
    codes = np.unique(values, return_inverse=True)[1].astype(np.int64)
    return Column(name, "group", np.where(values == "", -1, codes))


def summarise(space: str, clusters: NDArray[np.int64], columns: Sequence[Column]) -> SpaceSummary:
    """Sizes and agreements of the clusters (M,), -1 = none."""
    sizes = np.unique(clusters[clusters >= 0], return_counts=True)[1]
    return SpaceSummary(
        space,
        without=int((clusters < 0).sum()),
        sizes=tuple(sorted(sizes.tolist(), reverse=True)),
        agreements=tuple(_agreement(clusters, column) for column in columns),
    )


def _agreement(clusters: NDArray[np.int64], column: Column) -> Agreement:
    rows = np.flatnonzero((clusters >= 0) & (column.codes >= 0))
    values = len(np.unique(column.codes[rows]))
    if not len(rows):
        return Agreement(column.name, column.kind, 0, 0, None, None)
    if len(rows) > MAX_ROWS:  # the same rows whenever the same samples are compared
        rows = np.sort(np.random.default_rng(0).choice(rows, MAX_ROWS, replace=False))
    nmi, ami = mutual_information(clusters[rows], column.codes[rows])
    return Agreement(column.name, column.kind, len(rows), values, nmi, ami)


def mutual_information(a: NDArray[np.int64], b: NDArray[np.int64]) -> tuple[float, float]:
    """NMI and AMI (Vinh et al., JMLR 11, 2010, arithmetic mean) of two partitions (M,); 0 where one has one part.

    >>> mutual_information(np.array([0, 0, 1, 1]), np.array([5, 5, 2, 2]))
    (1.0, 1.0)
    """
    if min(len(np.unique(a)), len(np.unique(b))) < 2:
        return 0.0, 0.0
    with torch.sparse.check_sparse_tensor_invariants():  # else torch warns that nobody asked for the check
        nmi = normalized_mutual_info_score(torch.from_numpy(a), torch.from_numpy(b))
    # not torchmetrics: it sums chance in Python, one term at a time (minutes for a thousand samples)
    return min(float(nmi), 1.0), float(adjusted_mutual_info_score(a, b))


def finding(summary: SpaceSummary, label: str | None) -> Finding:
    """What the clusters follow most: the label, or a group (a nuisance until shown otherwise)."""
    strengths = {(a.kind, a.column): a.ami for a in summary.agreements if a.ami is not None}
    groups = {name: ami for (kind, name), ami in strengths.items() if kind == "group"}
    name, most = max(groups.items(), key=lambda item: item[1], default=("", 0.0))
    own, space = strengths.get(("label", label or "")), f"Clusters of {summary.space}"
    if not summary.sizes:
        return Finding(f"{space}: no sample has a pseudo-label.", is_warning=True)
    if own is None:
        followed = f"follow {name} most (AMI {most:z.2f})" if most >= LEAST else "follow no recorded group"
        return Finding(f"{space} {followed}; there is no label to compare with.", is_warning=False)
    beside = f" (AMI {most:z.2f})" if name else ""
    if max(own, most) < LEAST:
        group = f"any group (at most {name}, AMI {most:z.2f})" if name else "any group, as there is none"
        return Finding(f"{space} follow neither the label {label} (AMI {own:z.2f}) nor {group}.", is_warning=True)
    if abs(own - most) < TIE:
        return Finding(f"{space} follow {name}{beside} as much as the label {label} (AMI {own:z.2f}).", is_warning=True)
    if most > own:
        return Finding(f"{space} follow {name}{beside} more than the label {label} (AMI {own:z.2f}).", is_warning=True)
    group = f" more than any group (at most {name}, AMI {most:z.2f})" if name else ""
    return Finding(f"{space} follow the label {label} (AMI {own:z.2f}){group}.", is_warning=False)
