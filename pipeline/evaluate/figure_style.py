"""What all figures share: colours, sizes, lines, legends. Text is never read as math, names are untrusted.

Colours are those of Okabe and Ito (jfly.uni-koeln.de/color), which colour-blind readers tell apart; a method has the
same colour and marker in every figure.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, OCHRE, BLACK = PALETTE = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#B8A300", "#000000",
)  # fmt: skip
GREY, INK, PALE = "#8A8A8A", "#333333", "#C8C8C8"
METHOD_STYLE: dict[str, tuple[str, str]] = {
    "finetune": (GREEN, "D"),
    "linear": (BLUE, "o"),
    "knn": (SKY, "s"),
    "supervised": (VERMILLION, "^"),
    "mini_rocket": (OCHRE, "P"),
    "features": (ORANGE, "v"),
    "random_init": (GREY, "x"),
    "metadata": (PURPLE, "+"),
}
"""Method -> colour, marker."""
CONTEXT = "context"
"""Group id of artists that come last in a legend."""
WIDTH = 6.4
SMALL, NORMAL = 9, 10
Points = Sequence[tuple[int, float]]


def new_figure(width: float, height: float) -> Figure:
    """An empty figure in inches, drawn by Agg."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def new_axes(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure with one panel."""
    figure = new_figure(width, height)
    return figure, figure.add_subplot()


def draw_line(axes: Axes, points: Points, label: str, colour: str, *, width: float, style: str = "-") -> None:
    """Values over steps; infinities and NaN are gaps, a single point is a dot."""
    steps, values = np.array([step for step, _ in points]), np.array([value for _, value in points], dtype=float)
    values[~np.isfinite(values)] = np.nan
    dot = "o" if len(steps) == 1 else ""
    axes.plot(steps, values, label=shown_name(label), color=colour, linewidth=width, linestyle=style, marker=dot)


def finish_axes(axes: Axes, xlabel: str, ylabel: str, *, title: str = "") -> None:
    """Titles, quiet grid and spines."""
    axes.set_xlabel(xlabel, fontsize=NORMAL, color=INK)
    axes.set_ylabel(ylabel, fontsize=NORMAL, color=INK)
    axes.set_title(title, fontsize=NORMAL, color=INK, loc="left", parse_math=False)
    axes.tick_params(labelsize=SMALL, colors=INK, length=3)
    axes.grid(visible=True, color="#E6E6E6", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#9A9A9A")
    if xlabel == "step":
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def legend_outside(axes: Axes, *, title: str | None = None, columns: int = 1) -> None:
    """Legend right of the panel, in the order of drawing; what only gives context comes last."""
    handles, labels = axes.get_legend_handles_labels()
    if len(handles) == 1 and title is None:  # the axis title says it
        return
    order = sorted(range(len(handles)), key=lambda position: _is_context(handles[position]))
    legend = axes.legend(
        [handles[p] for p in order], [labels[p] for p in order], loc="upper left", bbox_to_anchor=(1.01, 1.01),
        frameon=False, fontsize=SMALL, title=title, ncols=columns, title_fontsize=SMALL, borderaxespad=0,
        alignment="left", handlelength=1.6, handletextpad=0.5, columnspacing=0.8,
    )  # fmt: skip
    for text in (*legend.get_texts(), legend.get_title()):
        text.set_parse_math(False)
    for handle in legend.legend_handles:
        if isinstance(handle, PathCollection):
            handle.set_sizes([34])


def _is_context(handle: object) -> bool:
    return isinstance(handle, Artist) and handle.get_gid() == CONTEXT


def shown_name(name: str, length: int = 26) -> str:
    """A name as a label: short, and never one matplotlib would hide (a leading underscore) or read as math."""
    clipped = name if len(name) <= length else name[: length - 1] + "…"
    return f" {clipped}" if clipped.startswith("_") else clipped
