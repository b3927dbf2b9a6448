"""The samples that the probe and evaluate stages chose to be looked at, decoded."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jobs.assemble import Dataset, open_dataset, source_of
from jobs.configs import Recipe
from modalities.spec import Signal
from modalities.text.codec import TextCodec
from pipeline.errors import DataError, StorageError
from pipeline.evaluate.cluster_browser import ClusterBrowser
from pipeline.evaluate.cluster_choice import ChosenCluster
from pipeline.evaluate.cluster_study import ClusterStudy
from pipeline.evaluate.retrieval_browser import RetrievalBrowser, shown_samples
from pipeline.evaluate.retrieval_examples import RetrievalExamples
from pipeline.evaluate.sample_sheet import Sample
from pipeline.evaluate.shown_streams import ShownStream, pictures, series, texts


@dataclass(frozen=True)
class SampleBrowsers:
    """unread: why there are none although some were chosen, such as shards that are gone; else None."""

    clusters: Sequence[ClusterBrowser] = ()
    retrievals: Sequence[RetrievalBrowser] = ()
    unread: str | None = None

    def warnings(self) -> list[str]:
        """That none could be read, where there are none for that reason."""
        return [] if self.unread is None else [f"Samples cannot be shown, as they could not be read: {self.unread}"]


def sample_browsers(recipe: Recipe, study: ClusterStudy, retrievals: Sequence[RetrievalExamples]) -> SampleBrowsers:
    """A report is of a finished run, whose figures stand without its samples: it says where they cannot be read."""
    chosen = {space: clusters for space, clusters in study.chosen.items() if clusters}
    if not chosen and not retrievals:
        return SampleBrowsers()
    dataset = open_dataset(source_of(recipe), recipe.aliases)
    with dataset.reader:
        try:
            return SampleBrowsers(
                [_clusters(recipe, dataset, space, clusters) for space, clusters in chosen.items()],
                [_retrieval(recipe, dataset, found) for found in retrievals],
            )
        except (DataError, StorageError) as error:
            return SampleBrowsers(unread=str(error))


def _clusters(recipe: Recipe, dataset: Dataset, space: str, clusters: Sequence[ChosenCluster]) -> ClusterBrowser:
    idx = [sample for cluster in clusters for sample in cluster.idx]
    return ClusterBrowser(
        space, clusters, _names(recipe, dataset, idx), _streams(dataset, idx, recipe.distinct_streams())
    )


def _retrieval(recipe: Recipe, dataset: Dataset, found: RetrievalExamples) -> RetrievalBrowser:
    idx, streams = shown_samples(found), list(dict.fromkeys((*found.asked, *found.found)))
    return RetrievalBrowser(found, _names(recipe, dataset, idx), _streams(dataset, idx, streams))


def _names(recipe: Recipe, dataset: Dataset, idx: Sequence[int]) -> list[Sample]:
    rows, index, unknown = np.array(idx, np.int64), dataset.index, [""] * len(idx)
    subjects = unknown if recipe.subject is None else index.group(recipe.subject)[rows].tolist()
    labels = unknown
    if recipe.label is not None:
        names = dataset.manifest.labels[recipe.label]
        labels = ["" if k < 0 else names[k] for k in index.labels(recipe.label)[rows].tolist()]
    return [Sample(*texts) for texts in zip(index.key[rows].tolist(), labels, subjects, strict=True)]


def _streams(dataset: Dataset, idx: Sequence[int], streams: list[str]) -> dict[str, ShownStream]:
    batch = dataset.reader.batch(np.array(idx, np.int64), streams=streams)
    return {name: _shown(dataset, name, signal) for name, signal in batch.signals.items()}


def _shown(dataset: Dataset, name: str, signal: Signal) -> ShownStream:
    schema, codec = dataset.schemas[name], dataset.reader.codecs[name]
    match schema.kind:
        case "sensor":
            return series(signal, channels=schema.channels, rate_hz=schema.rate_hz)
        case "image":
            return pictures(signal)
        case "text":
            assert isinstance(codec, TextCodec)  # noqa: S101 - the codec of a text schema
            return texts(signal, codec.tokenizer.decode)
