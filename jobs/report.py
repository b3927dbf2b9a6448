"""Report stage: one self-contained HTML page and its figures, in the run folder and in MLflow."""

import numpy as np
import yaml
from pydantic import JsonValue

from jobs._provenance import provenance
from jobs._run_folder import RunFolder, numbers, read_json
from jobs.assemble import source_of
from jobs.configs import Recipe
from jobs.stages import Context
from pipeline.config import to_json
from pipeline.data.manifest import Manifest, load_manifest
from pipeline.evaluate.figures import Confusion, EmbeddingMap
from pipeline.evaluate.report import ReportData, render_report, report_plots, save_plots
from pipeline.evaluate.results import rows_from_metrics
from pipeline.tracking import History, history, read_spool


def report(context: Context) -> dict[str, JsonValue]:
    """Write `report.html` and `figures/`, and hand them to tracking."""
    data = report_data(context.recipe, context.folder)
    plots = report_plots(data)
    page = context.folder.path / "report.html"
    page.write_text(render_report(data, plots), encoding="utf-8")
    context.run.artifact(page, "report.html")
    for name, path in save_plots(plots, context.folder.path / "figures").items():
        context.run.artifact(path, f"figures/{name}.png")
    return {"path": str(page), "num_figures": len(plots)}


def report_data(recipe: Recipe, folder: RunFolder) -> ReportData:
    """What the finished stages of a run folder have to show."""
    manifest = load_manifest(source_of(recipe).folder)
    probed = folder.result("probe") or {}
    drawn = read_json(folder.path / "probe" / "figures.json") or {}
    return ReportData(
        title=recipe.name,
        description=recipe.description,
        rows=rows_from_metrics(numbers(folder.metrics(("probe", "finetune")))),
        history=_history(folder),
        maps=_maps(drawn),
        confusions=_confusions(drawn),
        chance=_number(probed.get("chance")),
        warnings=[*_texts(probed.get("warnings")), *_leaks(recipe)],
        provenance=_provenance(manifest, folder),
        config=yaml.safe_dump(to_json(recipe), sort_keys=False, allow_unicode=True),
    )


def _history(folder: RunFolder) -> History:
    records = [record for path in sorted((folder.path / "tracking").glob("*.jsonl")) for record in read_spool(path)[0]]
    return {name: points for name, points in history(records).items() if len(points) > 1}


def _maps(drawn: dict[str, JsonValue]) -> list[EmbeddingMap]:
    return [EmbeddingMap(m["title"], np.asarray(m["xy"]), m["groups"]) for m in drawn.get("maps", [])]  # pyright: ignore


def _confusions(drawn: dict[str, JsonValue]) -> list[Confusion]:
    return [Confusion(c["title"], np.asarray(c["counts"]), c["names"]) for c in drawn.get("confusions", [])]  # pyright: ignore


def _number(value: JsonValue) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _texts(value: JsonValue) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _leaks(recipe: Recipe) -> list[str]:
    return [
        f"The stream {name} is declared to show the label: this run is weakly supervised." for name in recipe.leak.allow
    ]


def _provenance(manifest: Manifest, folder: RunFolder) -> dict[str, str]:
    pretrained = folder.result("pretrain") or {}
    counts = ", ".join(f"{name} {count}" for name, count in manifest.split.counts.items())
    return {
        "data set": f"{manifest.name}, {manifest.num_samples} samples ({counts})",
        "manifest sha256": manifest.sha256,
        "split": str(manifest.split.rule),
        "pretraining state": str(pretrained.get("state_hash")),
        **{name: text for name, text in provenance().items() if not name.startswith("mlflow.source.t")},
    }
