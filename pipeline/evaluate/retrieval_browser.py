"""The retrieval browser: a row per query, and beside it the samples that its features bring up first."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from pipeline.evaluate.figure_style import BLUE, GREY, INK, VERMILLION
from pipeline.evaluate.retrieval_examples import NEIGHBOURS, Neighbour, RetrievalExample, RetrievalExamples
from pipeline.evaluate.sample_sheet import Mark, Sample, SheetRow, sample_sheet
from pipeline.evaluate.shown_streams import ShownStream
from pipeline.evaluate.wrapped_text import wrap


@dataclass(frozen=True)
class RetrievalBrowser:
    """samples and streams hold the first query and its neighbours, then the second's, ..."""

    retrieval: RetrievalExamples
    samples: Sequence[Sample]
    streams: Mapping[str, ShownStream]


def shown_samples(retrieval: RetrievalExamples) -> list[int]:
    """Sample numbers in the order of a RetrievalBrowser."""
    return [idx for each in retrieval.examples for idx in (each.idx, *(found.idx for found in each.neighbours))]


def retrieval_browser(data: RetrievalBrowser) -> Figure:
    """A query and its NEIGHBOURS a row; each is said to be right or wrong in words and in colour."""
    return sample_sheet(list(_rows(data)), data.streams, columns=1 + NEIGHBOURS)


def _rows(data: RetrievalBrowser) -> Iterator[SheetRow]:
    start, is_cross_modal = 0, data.retrieval.is_cross_modal
    for example in data.retrieval.examples:
        marks = [_mark(rank, found, is_cross_modal) for rank, found in enumerate(example.neighbours, 1)]
        end = start + 1 + len(marks)
        samples = data.samples[start:end]
        yield SheetRow(_title(samples[0], example, is_cross_modal), samples, [Mark("query", INK), *marks])
        start = end


def _title(query: Sample, example: RetrievalExample, is_cross_modal: bool) -> str:
    sought = "the sample itself" if is_cross_modal else "the first of its label"
    label = [wrap(query.label, columns=40, lines=1)] if query.label else []
    outcome = "hit" if example.first_rank == 1 else "miss"
    return "   ·   ".join([*label, outcome, f"{sought} is at rank {example.first_rank} of {example.size}"])


def _mark(rank: int, found: Neighbour, is_cross_modal: bool) -> Mark:
    said, colour = _said(found, is_cross_modal)
    return Mark(f"{rank}  {said}  {found.similarity:.2f}", colour)


def _said(found: Neighbour, is_cross_modal: bool) -> tuple[str, str]:
    if is_cross_modal and found.is_match:
        return "itself", BLUE
    if found.same_label is None:
        return "no label", GREY
    return ("right", BLUE) if found.same_label else ("wrong", VERMILLION)
