"""Everything the probe stage says about pseudo-labels: what they follow, and which of their samples to look at."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue, TypeAdapter

from pipeline.evaluate.cluster_agreement import Column, SpaceSummary, finding, summarise
from pipeline.evaluate.cluster_choice import ChosenCluster, Members, choose_clusters
from pipeline.evaluate.pseudo_labels import PseudoLabels


@dataclass(frozen=True)
class ClusterStudy:
    """By view space: what its clusters follow, and the chosen ones. Empty for a pretraining without pseudo-labels."""

    summaries: tuple[SpaceSummary, ...] = ()
    chosen: Mapping[str, tuple[ChosenCluster, ...]] = dataclasses.field(default_factory=dict)

    def metrics(self) -> dict[str, float]:
        """Flat names for tracking."""
        return {name: value for summary in self.summaries for name, value in summary.metrics().items()}

    def warnings(self, label: str | None) -> list[str]:
        """A sentence for each view space that follows something else than the label."""
        findings = [finding(summary, label) for summary in self.summaries]
        return [one.text for one in findings if one.is_warning]

    def document(self) -> dict[str, JsonValue]:
        """As JSON, for `read_study`."""
        return TypeAdapter(ClusterStudy).dump_python(self, mode="json")


def read_study(document: JsonValue) -> ClusterStudy:
    """Inverse of `ClusterStudy.document`; None is an empty one. Raises pydantic's ValidationError."""
    return ClusterStudy() if document is None else TypeAdapter(ClusterStudy).validate_python(document)


def study_clusters(
    found: PseudoLabels,
    columns: Sequence[Column],
    features: NDArray[np.floating],
    *,
    classes: NDArray[np.int64],
    names: Sequence[str],
) -> ClusterStudy:
    """Columns are those of the samples of `found`, features (N, D) and classes (N,) those of every sample.

    classes: -1 where unlabelled; names: of the classes, none where there is no label.
    """
    chosen = {}
    for space, clusters in found.spaces.items():
        own = clusters >= 0
        idx = found.idx[own]
        chosen[space] = tuple(choose_clusters(Members(idx, clusters[own], features[idx], classes[idx], names)))
    summaries = tuple(summarise(space, clusters, columns) for space, clusters in found.spaces.items())
    return ClusterStudy(summaries, chosen)
