"""What a person sees: rich where standard error is a terminal, plain aligned lines everywhere else.

Everything goes to standard error; standard output belongs to `--json`.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TextIO

from pipeline.evaluate.results import ResultRow

PLAIN_PROGRESS_SHARE = 0.1
_MAX_TERMS = 4  # more do not fit a line
Cells = tuple[str, ...]


def training_line(step: int, total: int, metrics: Mapping[str, float], *, samples_per_s: float | None = None) -> str:
    """One aligned line with the names MLflow has, in a fixed order; many loss terms become a mean per objective.

    >>> training_line(1200, 5000, {"loss/total": 2.318, "loss/intra/imu": 0.91, "learning_rate": 3e-4})
    'step 1200/5000  loss  2.318  intra/imu  0.910  learning_rate 3.0e-04'
    """
    metrics = _brief(metrics)
    order = sorted(metrics, key=lambda name: (name != "loss/total", not name.startswith("loss/"), name))
    cells = [f"step {step:>{len(str(total))}}/{total}", *(f"{_short(name)} {_number(metrics[name])}" for name in order)]
    if samples_per_s is not None:
        cells.append(f"{samples_per_s:7.0f} samples/s")
    return "  ".join(cells)


def _brief(metrics: Mapping[str, float]) -> dict[str, float]:
    terms: dict[str, list[float]] = {}
    for name, value in metrics.items():
        if name.startswith("loss/") and name != "loss/total":
            terms.setdefault("/".join(name.split("/")[:2]), []).append(value)
    if sum(map(len, terms.values())) <= _MAX_TERMS:
        return dict(metrics)
    others = {name: value for name, value in metrics.items() if name == "loss/total" or not name.startswith("loss/")}
    return others | {objective: sum(values) / len(values) for objective, values in terms.items()}


def _short(name: str) -> str:
    return "loss" if name == "loss/total" else name.removeprefix("loss/")


def _number(value: float) -> str:
    return f"{value:6.3f}" if value == 0 or 1e-2 <= abs(value) < 100 else f"{value:.1e}"


def pace(done: int, total: int, elapsed_s: float) -> str:
    """Rate and time left, from what was done in a time; "" before anything was.

    >>> pace(2000, 10000, 4.0)
    '500/s  16 s left'
    """
    if done <= 0 or elapsed_s <= 0:
        return ""
    left = elapsed_s * (total - done) / done
    hours, minutes = int(left // 3600), int(left % 3600 // 60)
    remaining = f"{hours} h {minutes:02d} min" if hours else f"{minutes} min" if minutes else f"{left:.0f} s"
    return f"{done / elapsed_s:.3g}/s  {remaining} left"


def result_cells(rows: Sequence[ResultRow]) -> list[Cells]:
    """Header and body of the results table, values in percent; controls follow the probes they belong to."""
    header = ("method", "streams", "labels", "accuracy", "sd", "95 % interval", "F1 macro")
    return [header, *(_cells(row) for row in rows)]


def _cells(row: ResultRow) -> Cells:
    interval = "" if row.low is None or row.high is None else f"{100 * row.low:.1f} - {100 * row.high:.1f}"
    return (
        row.title,
        row.subset,
        row.labels,
        f"{100 * row.accuracy:.1f}",
        "" if row.sd is None else f"{100 * row.sd:.1f}",
        interval,
        "" if row.f1 is None else f"{100 * row.f1:.1f}",
    )


def plain_table(cells: Sequence[Cells], *, left: int = 2) -> str:
    """Aligned text; the first `left` columns to the left, the others to the right."""
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = [
        "  ".join(
            text.ljust(w) if i < left else text.rjust(w) for i, (text, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
    return "\n".join(line.rstrip() for line in [lines[0], "-" * len(lines[0]), *lines[1:]])


class Console:
    """Writes to `stream`, plain unless it is a terminal."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.is_terminal = self.stream.isatty()

    def line(self, text: str) -> None:
        """One line; control characters of untrusted names do not reach the terminal."""
        self.stream.write(_printable(text) + "\n")
        self.stream.flush()

    def settings(self, title: str, values: Mapping[str, str]) -> None:
        """What is about to run."""
        cells = [(name, value) for name, value in values.items()]
        if self.is_terminal:
            self._rich_table([("", ""), *cells], title=title, left=2, header=False)
            return
        width = max(map(len, values), default=0)
        self._block([title, *(f"  {name.ljust(width)}  {value}" for name, value in cells)])

    def results(self, rows: Sequence[ResultRow], *, title: str = "results") -> None:
        """Probes beside their controls."""
        cells = result_cells(rows)
        if self.is_terminal:
            emphasis = [not row.is_control for row in rows]
            self._rich_table(cells, title=title, left=2, emphasis=emphasis)
            return
        self.table(cells, title=title)

    def table(self, cells: Sequence[Cells], *, title: str | None = None, left: int = 2) -> None:
        """Aligned text on a terminal too."""
        self._block([*([] if title is None else [title]), plain_table(cells, left=left)])

    def training(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        """A `Fit.on_step` callback: monitors of embeddings and workers go to MLflow only."""
        shown = {name: value for name, value in metrics.items() if not name.startswith(("health/", "workers/"))}
        if shown:
            self.line(training_line(step, total, shown))

    @contextlib.contextmanager
    def progress(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """Yields a function to call with the number done so far: a bar on a terminal, else a line per tenth.

        Both show the rate since the first call and the time left.
        """
        started: list[tuple[float, int]] = []  # time and count of the first call: what was done before is no rate
        with self._bar(label, total) as draw:

            def advance(done: int) -> None:
                if not started:
                    started.append((time.monotonic(), done))
                since, before = started[0]
                draw(done, pace(done - before, total - before, time.monotonic() - since))

            yield advance

    @contextlib.contextmanager
    def _bar(self, label: str, total: int) -> Iterator[Callable[[int, str], None]]:
        if self.is_terminal:
            with self._rich_progress(label, total) as draw:
                yield draw
            return
        last = [0]

        def show(done: int, speed: str) -> None:
            if done >= total or done - last[0] >= PLAIN_PROGRESS_SHARE * total:
                last[0] = done
                self.line(f"{label} {done}/{total}  {speed}".rstrip())

        yield show

    def _block(self, lines: Sequence[str]) -> None:
        for line in "\n".join(lines).split("\n"):
            self.line(line)

    @contextlib.contextmanager
    def _rich_progress(self, label: str, total: int) -> Iterator[Callable[[int, str], None]]:
        from rich.console import Console as Terminal
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
        )
        with Progress(*columns, console=Terminal(file=self.stream)) as progress:
            task = progress.add_task(_literal(label), total=total, speed="")
            yield lambda done, speed: progress.update(task, completed=done, speed=speed)

    def _rich_table(
        self,
        cells: Sequence[Cells],
        *,
        title: str,
        left: int,
        header: bool = True,
        emphasis: Sequence[bool] | None = None,
    ) -> None:
        from rich.console import Console as Terminal
        from rich.table import Table

        table = Table(title=_literal(title), title_justify="left", show_header=header, box=None, pad_edge=False)
        for position, name in enumerate(cells[0]):
            table.add_column(_literal(name), justify="left" if position < left else "right")
        for number, row in enumerate(cells[1:]):
            table.add_row(*map(_literal, row), style="bold" if emphasis and emphasis[number] else None)
        Terminal(file=self.stream).print(table)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def _literal(text: str) -> str:
    """Text that rich shows as it is."""
    from rich.markup import escape

    return escape(_printable(text))
