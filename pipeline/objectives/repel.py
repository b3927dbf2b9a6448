"""Which candidates may repel which anchors: decided tile by tile from vectors, so no (B, K) mask is ever made.

Axes: B anchors, K candidates, N entries of either side.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.types import Embeddings

_FOREVER = torch.iinfo(torch.int64)


@dataclass(frozen=True)
class Entries:
    """What is known of the entries of one side.

    present: (N,) bool, absent candidates repel nobody. content: (N, C) int64 hashes of C streams; entries that agree in
    any column do not repel each other. spans: (N, 3) int64 record, start and end in ns, -1 unknown; windows of one
    record that overlap do not repel each other, and without times windows of one record count as overlapping.
    clusters: (N, G) int64 pseudo-labels at G granularities, -1 unknown: a candidate repels with the share of
    granularities that tell it from the anchor (false-negative weights, MEOW, arXiv 2212.13847); unknown tells apart.
    """

    present: Tensor
    content: Tensor
    spans: Tensor | None = None
    clusters: Tensor | None = None

    def repeat(self, times: int) -> "Entries":
        """The same entries, `times` times in a row: one per view."""
        return Entries(
            self.present.repeat(times),
            self.content.repeat(times, 1),
            None if self.spans is None else self.spans.repeat(times, 1),
            None if self.clusters is None else self.clusters.repeat(times, 1),
        )


def entries_of(embeddings: Embeddings, *streams: str, clusters: bool = False) -> Entries:
    """The samples of the batch as entries: present where they have all the streams, equal where any stream is.

    clusters: weigh by the pseudo-labels of these streams, as far as they are known yet.
    """
    known = [embeddings.clusters[name] for name in streams if clusters and name in embeddings.clusters]
    return Entries(
        torch.stack([embeddings.present[name] for name in streams]).all(dim=0),
        torch.stack([embeddings.content[name] for name in streams], dim=1),
        embeddings.spans,
        torch.cat(known, dim=1) if known else None,
    )


@dataclass(frozen=True)
class Repel:
    """Rules between anchors and candidates; what is None does not restrict.

    allowed: (B, K) bool, where such a matrix exists anyway. positive: (B,) column that is the anchor's positive and so
    never repels it.
    """

    anchors: Entries | None = None
    candidates: Entries | None = None
    allowed: Tensor | None = None
    positive: Tensor | None = None

    def restrict(self, logits: Tensor, rows: slice, columns: slice) -> Tensor:
        """Write -inf where the tile's candidates may not repel and add log weights elsewhere, in place."""
        if self.anchors is not None and self.candidates is not None:
            logits.masked_fill_(blocked(self.anchors, self.candidates, rows, columns), -torch.inf)
            if self.anchors.clusters is not None and self.candidates.clusters is not None:
                weight = _differing(self.anchors.clusters[rows], self.candidates.clusters[columns], logits.dtype)
                logits.add_(weight.log_())
        if self.allowed is not None:
            logits.masked_fill_(~self.allowed[rows, columns], -torch.inf)
        if self.positive is not None:
            _block_positive(logits, self.positive[rows] - columns.start)
        return logits


def blocked(anchors: Entries, candidates: Entries, rows: slice, columns: slice) -> Tensor:
    """(rows, columns) bool: candidates that are absent, equal to the anchor or overlapping with it."""
    found = ~candidates.present[None, columns] | (anchors.content[rows, :1] == candidates.content[columns, 0])
    for a, c in zip(anchors.content.T[1:], candidates.content.T[1:], strict=True):
        found |= a[rows, None] == c[None, columns]
    if anchors.spans is not None and candidates.spans is not None:
        found |= overlapping(anchors.spans[rows], candidates.spans[columns])
    return found


def overlapping(first: Tensor, second: Tensor) -> Tensor:
    """(A, C) bool of spans (A, 3) and (C, 3): same record and overlapping in time; unknown times overlap everything.

    >>> one = torch.tensor([[7, 0, 10]])
    >>> overlapping(one, torch.tensor([[7, 9, 12], [7, 10, 12], [8, 0, 10], [7, -1, -1], [-1, 0, 10]])).tolist()
    [[True, False, False, True, False]]
    """
    (record, start, end), (other, begin, stop) = _closed(first, unknown=-1), _closed(second, unknown=-2)
    same = record[:, None] == other
    same &= start[:, None] < stop
    same &= end[:, None] > begin
    return same


def _closed(spans: Tensor, *, unknown: int) -> tuple[Tensor, Tensor, Tensor]:
    """Record, start, end with unknown records equal to nobody's and unknown times lasting forever."""
    record, start, end = spans.unbind(1)
    timeless = (start < 0) | (end < 0)
    end = torch.maximum(end, start + 1)  # a window of no length still meets itself
    start, end = start.masked_fill(timeless, _FOREVER.min), end.masked_fill(timeless, _FOREVER.max)
    return record.masked_fill(record < 0, unknown), start, end


def _differing(first: Tensor, second: Tensor, dtype: torch.dtype) -> Tensor:
    """(A, C) share of granularities in which the pseudo-labels (A, G) and (C, G) differ; unknown ones differ."""
    first, second = first.masked_fill(first < 0, -1), second.masked_fill(second < 0, -2)
    share = torch.zeros(len(first), len(second), dtype=dtype, device=first.device)
    for a, c in zip(first.T, second.T, strict=True):
        share += a[:, None] != c
    return share.div_(max(1, first.shape[1]))


def _block_positive(logits: Tensor, column: Tensor) -> None:
    inside = (column >= 0) & (column < logits.shape[1])
    place = torch.where(inside, column, 0)[:, None]
    logits.scatter_(1, place, torch.where(inside[:, None], -torch.inf, logits.gather(1, place)))
