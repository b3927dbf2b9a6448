"""The cluster browser: a row per cluster, and in it the samples nearest to its centre."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from pipeline.evaluate.cluster_choice import SAMPLES, ChosenCluster
from pipeline.evaluate.sample_sheet import Sample, SheetRow, sample_sheet
from pipeline.evaluate.shown_streams import ShownStream
from pipeline.evaluate.wrapped_text import wrap


@dataclass(frozen=True)
class ClusterBrowser:
    """Clusters of a view space. samples and streams hold the samples of the first cluster, then the second's, ..."""

    space: str
    clusters: Sequence[ChosenCluster]
    samples: Sequence[Sample]
    streams: Mapping[str, ShownStream]


def cluster_browser(data: ClusterBrowser) -> Figure:
    """At most MAX_CLUSTERS rows of SAMPLES."""
    return sample_sheet(list(_rows(data)), data.streams, columns=SAMPLES)


def _rows(data: ClusterBrowser) -> Iterator[SheetRow]:
    start = 0
    for cluster in data.clusters:
        yield SheetRow(_title(cluster), data.samples[start : start + len(cluster.idx)])
        start += len(cluster.idx)


def _title(cluster: ChosenCluster) -> str:
    parts = [f"cluster {cluster.cluster}", *([", ".join(cluster.roles)] if cluster.roles else [])]
    parts.append(f"{cluster.size} sample{'s' * (cluster.size != 1)} ({100 * cluster.share:.1f} %)")
    if cluster.purity is not None:
        parts.append(f"{100 * cluster.purity:.0f} % are {wrap(cluster.majority, columns=40, lines=1)}")
    return "   ·   ".join(parts)
