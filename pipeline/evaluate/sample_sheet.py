"""Rows of samples, each drawn as what it is: series, pictures and texts, with its names under it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from numpy.typing import NDArray

from pipeline.evaluate.figure_style import GREY, INK, NORMAL, PALETTE, SMALL, new_figure
from pipeline.evaluate.shown_streams import Pictures, Series, ShownStream, Texts
from pipeline.evaluate.wrapped_text import wrap

MAX_CHANNELS = 12
"""Channels of a sensor stream that have room; the others are counted."""
# Inches. At 1200 px the report shows an inch as 100 px, so that 9 points are 12 px.
_WIDTH, _GUTTER, _GAP = 11.5, 1.1, 0.16
_HEADER, _MARK, _CAPTION, _BETWEEN = 0.3, 0.2, 0.5, 0.07
_CHANNEL, _LEAST_SERIES, _TEXT = 0.15, 0.6, 0.64
_MOST_BODY = 5.0  # panels of one sample; more streams get lower panels
_COLUMN, _ROW = 0.068, 0.145  # one character and one line of small text
_TINY = 7.5
_CLIP = 0.55  # a reading beyond its channel's range reaches this far into the neighbour's


@dataclass(frozen=True)
class Sample:
    """What is written under a sample; "" where unknown."""

    key: str
    label: str
    subject: str


@dataclass(frozen=True)
class Mark:
    """What is written above a sample, such as whether it is a right answer."""

    text: str
    colour: str = INK


@dataclass(frozen=True)
class SheetRow:
    """marks: one for each sample, or none at all."""

    title: str
    samples: Sequence[Sample]
    marks: Sequence[Mark] = ()


@dataclass(frozen=True)
class _Panel:
    """Place of a stream below the top of a row and right of the left edge of a cell, in inches."""

    name: str
    top: float
    left: float
    width: float
    height: float


class _Sheet:
    """A figure whose parts are placed in inches from its top left corner."""

    def __init__(self, height: float) -> None:
        self.figure = new_figure(_WIDTH, height)
        self.figure.set_layout_engine("none")
        self.height = height

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        bottom = self.height - top - height
        place = (left / _WIDTH, bottom / self.height, width / _WIDTH, height / self.height)
        axes = self.figure.add_axes(place, xticks=[], yticks=[])
        axes.spines[:].set_color("#DDDDDD")
        return axes

    def text(self, left: float, top: float, text: str) -> Text:
        place = left / _WIDTH, 1 - top / self.height
        return self.figure.text(*place, text, fontsize=SMALL, color=INK, va="top", parse_math=False)

    def rule(self, top: float) -> None:
        y = 1 - top / self.height
        self.figure.add_artist(Line2D([0, 1], [y, y], color="#BBBBBB", linewidth=0.8))


def sample_sheet(rows: Sequence[SheetRow], streams: Mapping[str, ShownStream], *, columns: int) -> Figure:
    """A channel has one scale in all rows. streams: of the samples of the first row, then the second's, ..."""
    cell = (_WIDTH - _GUTTER - columns * _GAP) / columns
    panels = list(_panels(streams, cell))
    body = max((panel.top + panel.height for panel in panels), default=0.0)
    header = _HEADER + _MARK * any(row.marks for row in rows)
    height = header + body + _CAPTION
    sheet = _Sheet(max(height * len(rows), 0.5))
    ranges = {name: _ranges(stream) for name, stream in streams.items() if isinstance(stream, Series)}
    position = 0
    for number, row in enumerate(rows):
        top = number * height
        if number:
            sheet.rule(top)
        sheet.text(0.05, top + 0.09, row.title).set(fontsize=NORMAL, weight="bold")
        _gutter(sheet, top + header, panels, streams)
        for column, sample in enumerate(row.samples):
            left = _GUTTER + column * (cell + _GAP)
            for mark in row.marks[column : column + 1]:
                sheet.text(left, top + _HEADER, mark.text).set(color=mark.colour, weight="bold")
            for panel in panels:
                axes = sheet.axes(left + panel.left, top + header + panel.top, panel.width, panel.height)
                _draw(axes, panel, streams[panel.name], position, ranges.get(panel.name))
            sheet.text(left, top + header + body + 0.06, _caption(sample, cell)).set_linespacing(1.25)
            position += 1
    return sheet.figure


def _panels(streams: Mapping[str, ShownStream], cell: float) -> Iterator[_Panel]:
    """Series over the whole width, then pictures and texts two by two; lower ones where there are many."""
    lines: list[tuple[list[str], float]] = []
    for name, stream in streams.items():
        if isinstance(stream, Series):
            lines.append(([name], max(_LEAST_SERIES, _CHANNEL * min(len(stream.channels), MAX_CHANNELS))))
    half = (cell - _BETWEEN) / 2
    others = [name for kind in (Pictures, Texts) for name, stream in streams.items() if isinstance(stream, kind)]
    for start in range(0, len(others), 2):
        pair = others[start : start + 2]
        lines.append((pair, half if any(isinstance(streams[name], Pictures) for name in pair) else _TEXT))
    shrink = min(1.0, _MOST_BODY / max(sum(height + _BETWEEN for _, height in lines), 1e-9))
    top = 0.0
    for names, height in lines:
        width = (cell - _BETWEEN * (len(names) - 1)) / len(names)
        for number, name in enumerate(names):
            yield _Panel(name, top, number * (width + _BETWEEN), width, height * shrink)
        top += (height + _BETWEEN) * shrink


def _caption(sample: Sample, cell: float) -> str:
    """The key, and below it the label, which has what room the subject leaves it."""
    columns = int(cell / _COLUMN)
    subject = wrap(sample.subject, columns=columns // 2 - 1, lines=1)
    label = wrap(sample.label, columns=columns - len(subject) - 3 * bool(subject), lines=1)
    return f"{wrap(sample.key, columns=columns, lines=1)}\n{' · '.join(text for text in (label, subject) if text)}"


def _gutter(sheet: _Sheet, top: float, panels: Sequence[_Panel], streams: Mapping[str, ShownStream]) -> None:
    """Names of streams and channels, left of the cells."""
    for panel in panels:
        stream = streams[panel.name]
        if not isinstance(stream, Series):
            if panel.left == 0:
                beside = [_name(other.name) for other in panels if other.top == panel.top]
                sheet.text(0.05, top + panel.top + 0.02, ",\n".join(beside))
            continue
        seconds = stream.values.shape[2] / stream.rate_hz
        name = f"{_name(panel.name)}\n0–{seconds:.3g} s"
        middle = top + panel.top + panel.height / 2
        sheet.text(0.05, middle, name).set(rotation=90, va="center", multialignment="center")
        shown = list(stream.channels[:MAX_CHANNELS])
        size = min(_TINY, 65 * panel.height / len(shown))
        for number, channel in enumerate(shown):
            where = top + panel.top + panel.height * (number + 0.5) / len(shown)
            text = sheet.text(_GUTTER - 0.06, where, _name(channel, 11))
            text.set(fontsize=size, color=_colour(number), ha="right", va="center")
        if len(stream.channels) > MAX_CHANNELS:
            more = f"+{len(stream.channels) - MAX_CHANNELS}"
            sheet.text(0.4, middle, more).set(fontsize=_TINY, color=GREY, rotation=90, va="center")


def _draw(axes: Axes, panel: _Panel, stream: ShownStream, position: int, ranges: NDArray[np.float64] | None) -> None:
    if not stream.present[position]:
        axes.spines[:].set_visible(False)
        _write(axes, f"no {_name(panel.name)}").set(x=0.5, y=0.5, ha="center", va="center", color=GREY)
    elif isinstance(stream, Series):
        _draw_series(axes, stream.values[position], ranges if ranges is not None else _ranges(stream))
    elif isinstance(stream, Pictures):
        axes.imshow(stream.values[position], aspect="equal", interpolation="nearest")
        axes.spines[:].set_visible(False)
    else:
        lines = max(1, int(panel.height / _ROW))
        text = wrap(stream.values[position], columns=max(4, int(panel.width / _COLUMN)), lines=lines)
        axes.spines[:].set_visible(False)
        _write(axes, text)


def _write(axes: Axes, text: str) -> Text:
    return axes.text(0, 1, text, color=INK, fontsize=SMALL, va="top", transform=axes.transAxes, parse_math=False)


def _draw_series(axes: Axes, values: NDArray[np.float32], ranges: NDArray[np.float64]) -> None:
    """A strip per channel, (C, T); gaps where unobserved."""
    shown = min(len(values), MAX_CHANNELS)
    for channel in range(shown):
        middle, size = ranges[channel]
        y = np.clip((values[channel] - middle) / size, -_CLIP, _CLIP)
        axes.plot(np.arange(len(y)), y - channel, color=_colour(channel), linewidth=0.9)
    axes.set_xlim(0, max(values.shape[1] - 1, 1))
    axes.set_ylim(-shown + 0.4, 0.6)


def _ranges(stream: Series) -> NDArray[np.float64]:
    """Middle and size of what each channel shows, from the 1st to the 99th percentile over all samples: (C, 2)."""
    found = np.tile([0.0, 1.0], (len(stream.channels), 1))
    for channel in range(len(stream.channels)):
        seen = stream.values[:, channel]
        seen = seen[np.isfinite(seen)].astype(np.float64)
        if len(seen):
            low, high = np.percentile(seen, [1, 99])
            found[channel] = (low + high) / 2, 1.05 * (high - low) or 1.0
    return found


def _name(text: str, columns: int = 14) -> str:
    return wrap(text, columns=columns, lines=1)


def _colour(channel: int) -> str:
    return PALETTE[channel % 7]
