"""One self-contained HTML file per recipe: no script, no external request, every name escaped."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure

from pipeline.evaluate import figures
from pipeline.evaluate.cluster_agreement import SpaceSummary, finding
from pipeline.evaluate.cluster_browser import ClusterBrowser, cluster_browser
from pipeline.evaluate.evaluation_rows import SOURCES, EvaluationRow
from pipeline.evaluate.figures import Confusion, EmbeddingMap
from pipeline.evaluate.gain import Gain
from pipeline.evaluate.multi_label_lines import MultiLabelLine
from pipeline.evaluate.regression_lines import RegressionLine
from pipeline.evaluate.relation_recovery import Recoveries
from pipeline.evaluate.relation_summary import RelationSummary, relation_columns
from pipeline.evaluate.results import FUSED, TITLES, ResultRow, method_rank, shown_sources
from pipeline.evaluate.retrieval_browser import RetrievalBrowser, retrieval_browser
from pipeline.evaluate.retrieval_examples import RetrievalExamples
from pipeline.evaluate.sequence_lines import SCORE_TITLES, SEQUENCE_SOURCES, SequenceLine
from pipeline.evaluate.target_metrics import TARGET_SOURCES
from pipeline.evaluate.verdict import gain_lines, target_gain_lines, verdict
from pipeline.tracking import History

DPI = 160
WIDE_DPI = 100  # a wide figure's pixels are the page's: it is large, and fewer colours would falsify the pictures in it


@dataclass(frozen=True)
class ReportData:
    """What a report shows. Parts that are empty are left out.

    regression: of targets that are numbers. multi_label: of sets of tags. sequence: of step labels. gains: over the
    strongest controls. history: metric name with its stage, e.g. "pretrain/loss/total" -> points. chance: share of the
    largest class. evaluation: rows of `kindred evaluate`; refused: what it left out -> why. provenance: "manifest
    sha256" -> text. config: the resolved recipe as YAML. label: what clusters ought to follow.
    """

    title: str
    description: str
    rows: Sequence[ResultRow]
    regression: Sequence[RegressionLine] = ()
    multi_label: Sequence[MultiLabelLine] = ()
    sequence: Sequence[SequenceLine] = ()
    gains: Sequence[Gain] = ()
    history: History = field(default_factory=dict)
    maps: Sequence[EmbeddingMap] = ()
    confusions: Sequence[Confusion] = ()
    label: str | None = None
    pseudo_labels: Sequence[SpaceSummary] = ()
    browsers: Sequence[ClusterBrowser] = ()
    relations: Mapping[str, RelationSummary] = field(default_factory=dict)
    recoveries: Recoveries = field(default_factory=dict)
    evaluation: Sequence[EvaluationRow] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    retrievals: Sequence[RetrievalBrowser] = ()
    chance: float | None = None
    warnings: Sequence[str] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)
    config: str = ""


@dataclass(frozen=True)
class Plot:
    """A drawn figure: `name` is its file name, `caption` says what to see in it."""

    name: str
    section: str
    caption: str
    png: bytes


def report_plots(data: ReportData) -> list[Plot]:
    """Every figure the data allows, in reading order."""
    samples = (*_browser_plots(data), *_retrieval_plots(data))
    return [*_result_plots(data), *_embedding_plots(data), *samples, *_training_plots(data.history)]


def save_plots(plots: Iterable[Plot], folder: Path) -> dict[str, Path]:
    """PNG files by name, for tracking."""
    folder.mkdir(parents=True, exist_ok=True)
    saved = {}
    for plot in plots:
        saved[plot.name] = folder / f"{plot.name}.png"
        saved[plot.name].write_bytes(plot.png)
    return saved


def render_report(data: ReportData, plots: Sequence[Plot] | None = None) -> str:
    """The report as HTML."""
    shown = report_plots(data) if plots is None else plots
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    sections: dict[str, list[dict[str, str]]] = {}
    for plot in shown:
        picture = base64.b64encode(plot.png).decode()
        sections.setdefault(plot.section, []).append({"caption": plot.caption, "png": picture})
    return environment.get_template("report.html").render(
        data=data,
        verdict=verdict(data.rows, data.gains),
        gain_lines=gain_lines(data.gains, data.rows),
        target_gain_lines=target_gain_lines(data.gains),
        tables=[_table(data.rows, subset) for subset in _subsets(data.rows)],
        relation_columns=relation_columns(data.relations),
        sources=_titles(shown_sources(SOURCES, (row.figures for row in data.evaluation))),
        regression_sources=_titles(shown_sources(TARGET_SOURCES, (line.figures for line in data.regression))),
        multi_label_sources=_titles(shown_sources(TARGET_SOURCES, (line.figures for line in data.multi_label))),
        sequence_sources=SEQUENCE_SOURCES,
        score_titles=SCORE_TITLES,
        findings=[finding(summary, data.label).text for summary in data.pseudo_labels],
        sections=sections,
    )


def _titles(sources: Sequence[str]) -> dict[str, str]:
    """Column titles by source; the first is the learned features."""
    return {sources[0]: "Kindred", **{source: TITLES[source] for source in sources[1:]}}


def _plot(name: str, section: str, caption: str, figure: Figure, *, dpi: int = DPI) -> Plot:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return Plot(_file(name), section, caption, buffer.getvalue())


def _subsets(rows: Sequence[ResultRow]) -> list[str]:
    return sorted({row.subset for row in rows}, key=lambda subset: (subset != FUSED, subset))


@dataclass(frozen=True)
class _Cell:
    value: str
    spread: str
    f1: str
    best: bool


def _table(rows: Sequence[ResultRow], subset: str) -> dict[str, object]:
    """Methods x label shares of one subset. The best value of a column is marked, metadata does not compete."""
    mine = [row for row in rows if row.subset == subset]
    percents = sorted({row.percent for row in mine})
    methods = sorted({row.method for row in mine}, key=method_rank)
    by_place = {(row.method, row.percent): row for row in mine}
    competing = [row for row in mine if row.method != "metadata"]
    best = {(r.method, r.percent) for r in competing if _shown(r.accuracy) == _shown(_most(competing, r.percent))}
    lines = []
    for method in methods:
        found = [by_place.get((method, percent)) for percent in percents]
        cells = [row and _cell(row, best=(row.method, row.percent) in best) for row in found]
        first = next(row for row in found if row)
        lines.append({"title": first.title, "is_control": first.is_control, "cells": cells})
    least = {row.percent: row.least for row in reversed(mine)}
    return {"subset": subset, "columns": [(f"{percent:g} %", least[percent]) for percent in percents], "lines": lines}


def _most(rows: Sequence[ResultRow], percent: float) -> float:
    return max(row.accuracy for row in rows if row.percent == percent)


def _shown(accuracy: float) -> str:
    return f"{100 * accuracy:.1f}"


def _cell(row: ResultRow, *, best: bool) -> _Cell:
    interval = row.low is not None and row.high is not None
    spread = f"{100 * (row.low or 0):.1f}–{100 * (row.high or 0):.1f}" if interval else ""
    if not interval and row.sd is not None:
        spread = f"± {100 * row.sd:.1f}"
    return _Cell(_shown(row.accuracy), spread, "" if row.f1 is None else f"{100 * row.f1:.1f}", best)


def _result_plots(data: ReportData) -> list[Plot]:
    made = []
    for subset in _subsets(data.rows):
        figure = figures.label_efficiency(data.rows, subset, chance=data.chance)
        if figure:
            streams = "All streams" if subset == FUSED else f"Only {subset}"
            caption = f"{streams}. Bars: 95 % interval, or one standard deviation over label draws. Dashed: controls."
            section = "label efficiency" if subset == FUSED else "label efficiency of parts"
            made.append(_plot(f"label_efficiency_{subset}", section, caption, figure))
    for number, confusion in enumerate(data.confusions):
        caption = f"{confusion.title}: share of each true class, in percent; the number of samples is beside its name."
        made.append(_plot(f"confusion_{number}", "confusion", caption, figures.confusion_matrix(confusion)))
    return made


def _embedding_plots(data: ReportData) -> list[Plot]:
    made = []
    for number, embedding in enumerate(data.maps):
        for by in embedding.groups:
            caption = f"{embedding.title}: one point per sample, coloured by {by}."
            figure = figures.embedding_map(embedding, by)
            made.append(_plot(f"embedding_{number}_{by}", "embedding", caption, figure))
    return made


def _browser_plots(data: ReportData) -> list[Plot]:
    made = []
    for browser in data.browsers:
        caption = (
            f"Clusters of {browser.space}, and the samples nearest to the centre of each, by frozen fused features: "
            "key, then label and subject where known. A channel has one scale in all panels of the figure; a text is "
            "shown as far as the encoder reads it."
        )
        made.append(_plot(f"clusters_{browser.space}", "clusters", caption, cluster_browser(browser), dpi=WIDE_DPI))
    return made


def _retrieval_plots(data: ReportData) -> list[Plot]:
    made = []
    for browser in data.retrievals:
        name, caption = _retrieval_names(browser.retrieval)
        made.append(_plot(name, "retrieval", caption, retrieval_browser(browser), dpi=WIDE_DPI))
    return made


def _retrieval_names(retrieval: RetrievalExamples) -> tuple[str, str]:
    """File name and caption."""
    if not retrieval.is_cross_modal:
        return "retrieval_fused", "Asked by all streams together for samples of the same label in other recordings."
    asked, found = "-".join(retrieval.asked), "-".join(retrieval.found)
    sought = f"Asked by {asked} alone for the sample itself, among all samples as {found} alone shows them."
    return f"retrieval_{asked}-{found}", f"{sought} Both streams are drawn. Right and wrong: by label."


def _training_plots(history: History) -> list[Plot]:
    made: list[Plot] = []
    for stage in sorted({name.split("/")[0] for name in history}, key=lambda stage: (stage != "pretrain", stage)):
        named = (
            ("loss", "the loss terms as logged, the weighted total in black", figures.loss_terms),
            ("health", "collapse monitors of the embeddings; dashed: alarm level", figures.collapse_monitors),
            ("learning_rate", "learning rate", figures.learning_rate),
        )
        for name, text, draw in named:
            figure = draw(history, stage)
            if figure:
                section = "schedule" if name == "learning_rate" else "training"
                made.append(_plot(f"{stage}_{name}", section, f"Stage {stage}: {text}.", figure))
    speed = figures.throughput(history)
    return [*made, _plot("throughput", "schedule", "Training throughput.", speed)] if speed else made


def _file(name: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in name)
