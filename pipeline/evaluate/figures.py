"""Figures of a run. Each function returns a matplotlib Figure of its own; nothing here touches pyplot."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from pipeline.evaluate.figure_style import (
    BLACK,
    BLUE,
    CONTEXT,
    GREEN,
    GREY,
    INK,
    METHOD_STYLE,
    PALE,
    PALETTE,
    SMALL,
    WIDTH,
    Points,
    draw_line,
    finish_axes,
    legend_outside,
    new_axes,
    new_figure,
    shown_name,
)
from pipeline.evaluate.results import ResultRow, method_rank
from pipeline.tracking import History
from pipeline.train.health import MEAN_ALARM, RANK_ALARM, STD_ALARM

MARKERS = ("o", "^", "s", "D", "v", "P")
MAX_CATEGORIES = 24
MONITORS: dict[str, tuple[str, float | None]] = {
    "std": ("std x sqrt(d)  (1 = healthy)", STD_ALARM),
    "rank_share": ("effective rank / directions", RANK_ALARM),
    "rank_centred": ("effective rank, centred", None),
    "mean_cosine": ("squared mean  (0 = healthy)", MEAN_ALARM),
    "uniformity": ("uniformity  (low = spread out)", None),
    "alignment": ("alignment  (low = views agree)", None),
}
"""Monitor -> axis title and alarm level."""


@dataclass(frozen=True)
class EmbeddingMap:
    """Samples in two dimensions, (N, 2), and what to colour them by: "label" -> N names."""

    title: str
    xy: NDArray[np.floating]
    groups: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Confusion:
    """Counts (K, K), rows are true classes, columns predicted ones."""

    title: str
    counts: NDArray[np.integer]
    names: Sequence[str]


def loss_terms(history: History, stage: str) -> Figure | None:
    """Every `<stage>/loss/...` over steps, the total in black; None where there is none."""
    prefix = f"{stage}/loss/"
    terms = sorted(name for name in history if name.startswith(prefix) and name != f"{prefix}total")
    total = history.get(f"{prefix}total")
    if not terms and not total:
        return None
    figure, axes = new_axes(WIDTH, 3.3)
    for position, name in enumerate(terms if len(terms) > 1 or not total else ()):  # one term is the total
        style = ("-", "--", ":")[position // 7 % 3]
        draw_line(axes, history[name], name.removeprefix(prefix), PALETTE[position % 7], width=1.4, style=style)
    if total:
        draw_line(axes, total, "weighted total" if len(terms) > 1 else "loss", BLACK, width=2.0)
    finish_axes(axes, "step", "loss")
    legend_outside(axes)
    return figure


def learning_rate(history: History, stage: str) -> Figure | None:
    """The schedule as it was applied."""
    return _one_metric(history.get(f"{stage}/learning_rate"), "learning rate", BLUE)


def throughput(history: History) -> Figure | None:
    """Samples per second over steps."""
    name = next((n for n in sorted(history) if n.endswith("samples_per_s")), None)
    return _one_metric(history.get(name or ""), "samples / s", GREEN)


def _one_metric(points: Points | None, ylabel: str, colour: str) -> Figure | None:
    if not points:
        return None
    figure, axes = new_axes(5.2, 2.7)
    draw_line(axes, points, ylabel, colour, width=1.8)
    finish_axes(axes, "step", ylabel)
    axes.set_ylim(bottom=0)
    return figure


def collapse_monitors(history: History, stage: str = "pretrain") -> Figure | None:
    """One panel per monitor, one line per stream; dashed lines are alarm levels."""
    found: dict[str, dict[str, Points]] = {}
    for name, points in history.items():
        if name.startswith(f"{stage}/health/"):
            stream, _, monitor = name.removeprefix(f"{stage}/health/").rpartition("/")
            found.setdefault(monitor, {})[stream] = points
    shown = [monitor for monitor in MONITORS if monitor in found]
    if not shown:
        return None
    columns = min(2, len(shown))
    rows = -(-len(shown) // columns)
    figure = new_figure(WIDTH, 1.9 * rows + 0.4)
    streams = sorted({stream for monitor in shown for stream in found[monitor]})
    for position, monitor in enumerate(shown):
        axes = figure.add_subplot(rows, columns, position + 1)
        _monitor_panel(axes, monitor, {s: found[monitor][s] for s in streams if s in found[monitor]}, streams)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(6, len(labels)), frameon=False, fontsize=SMALL)
    return figure


def _monitor_panel(axes: Axes, monitor: str, lines: Mapping[str, Points], streams: Sequence[str]) -> None:
    title, alarm = MONITORS[monitor]
    for stream, points in lines.items():
        draw_line(axes, points, stream, PALETTE[streams.index(stream) % len(PALETTE)], width=1.6)
    if alarm is not None:
        axes.axhline(alarm, color=INK, linewidth=1, linestyle="--", zorder=1)
    finish_axes(axes, "step", "", title=title)


def embedding_map(data: EmbeddingMap, by: str) -> Figure:
    """Scatter of the map coloured by one grouping; beyond 8 groups shape helps, beyond 24 the rest is grey."""
    names = list(data.groups[by])
    shown = [name for name, _ in Counter(names).most_common(MAX_CATEGORIES)]
    shown = sorted(shown, key=_natural)
    figure, axes = new_axes(5.2, 3.7)
    rest = np.array([name not in shown for name in names])
    if rest.any():
        axes.scatter(
            *data.xy[rest].T, s=8, c=PALE, linewidths=0, label=f"{len(set(names)) - len(shown)} others", gid=CONTEXT
        )
    size = float(np.clip(4000 / max(len(names), 1), 6, 26))
    for position, name in enumerate(shown):
        mine = np.array([other == name for other in names])
        look = {"marker": MARKERS[position // len(PALETTE) % len(MARKERS)], "c": PALETTE[position % len(PALETTE)]}
        axes.scatter(*data.xy[mine].T, s=size, alpha=0.8, linewidths=0, label=shown_name(name, 18), **look)
    axes.set_xticks([])
    axes.set_yticks([])
    finish_axes(axes, "", "", title="")
    axes.set_aspect("equal", adjustable="datalim")
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color("#D0D0D0")
    legend_outside(axes, title=by, columns=1 + (len(shown) > 14))
    return figure


def confusion_matrix(data: Confusion) -> Figure:
    """Share of each true class; cells show percent, and counts beside the class names."""
    counts = np.asarray(data.counts, dtype=float)
    totals = counts.sum(axis=1)
    share = counts / np.maximum(totals, 1)[:, None]
    size = len(counts)
    side = float(np.clip(0.42 * size + 2.2, 3.8, 9.0))
    figure, axes = new_axes(side + 0.6, side)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(share.shape) if size <= 20 else ():
        if counts[row, column]:
            dark = share[row, column] > 0.55
            text = f"{100 * share[row, column]:.0f}"
            axes.text(column, row, text, ha="center", va="center", fontsize=SMALL, color="white" if dark else INK)
    names = [shown_name(name) for name in data.names]
    axes.set_xticks(range(size), names, rotation=45, ha="right", rotation_mode="anchor")
    rows = [f"{name}  ({int(total)})" for name, total in zip(names, totals, strict=True)]
    axes.set_yticks(range(size), rows)
    finish_axes(axes, "predicted", "true class (samples)", title="")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    return figure


def label_efficiency(rows: Sequence[ResultRow], subset: str, *, chance: float | None = None) -> Figure | None:
    """Accuracy over the share of labels, log axis, bars are 95 % intervals or else one sd; controls are dashed."""
    mine = [row for row in rows if row.subset == subset]
    if not mine:
        return None
    figure, axes = new_axes(WIDTH, 3.7)
    for method in sorted({row.method for row in mine}, key=method_rank):
        points = sorted((row for row in mine if row.method == method), key=lambda row: row.percent)
        colour, marker = METHOD_STYLE.get(method, (INK, "."))
        axes.errorbar(
            [row.percent for row in points],
            [100 * row.accuracy for row in points],
            yerr=np.array([_bar(row) for row in points]).T * 100,
            label=points[0].title, color=colour, marker=marker, markersize=6, capsize=2.5, elinewidth=1.1,
            linewidth=1.4 if points[0].is_control else 2.0, linestyle="--" if points[0].is_control else "-",
        )  # fmt: skip
    if chance is not None:
        axes.axhline(100 * chance, color=GREY, linewidth=1.4, linestyle=":", label="largest class", gid=CONTEXT)
    percents = sorted({row.percent for row in mine})
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(percents))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
    axes.set_xlim(percents[0] / 1.3, percents[-1] * 1.3)
    finish_axes(axes, "share of the training labels", "test accuracy (%)")
    legend_outside(axes)
    return figure


def _bar(row: ResultRow) -> tuple[float, float]:
    if row.low is not None and row.high is not None:
        return max(row.accuracy - row.low, 0.0), max(row.high - row.accuracy, 0.0)
    return row.sd or 0.0, row.sd or 0.0


def _natural(name: str) -> tuple[int, float, str]:
    """Numbers by value, then words."""
    try:
        return 0, float(name), name
    except ValueError:
        return 1, 0.0, name
