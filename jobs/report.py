"""Report stage: one self-contained HTML page and its figures, in the run folder and in MLflow."""

import re

import numpy as np
import yaml
from pydantic import JsonValue

from jobs._provenance import provenance
from jobs._run_folder import RunFolder, numbers, read_json
from jobs.assemble import source_of
from jobs.configs import Recipe
from jobs.sample_browsers import sample_browsers
from jobs.stages import Context
from jobs.stored_gains import stored_gains
from pipeline.config import to_json
from pipeline.data.manifest import Manifest, load_manifest
from pipeline.evaluate.cluster_study import read_study
from pipeline.evaluate.evaluation_rows import EvaluationRow, evaluation_rows
from pipeline.evaluate.figures import Confusion, EmbeddingMap
from pipeline.evaluate.gain import few_groups
from pipeline.evaluate.multi_label_lines import multi_label_lines
from pipeline.evaluate.regression_lines import regression_lines
from pipeline.evaluate.relation_recovery import read_recoveries
from pipeline.evaluate.relation_summary import RelationSummary, read_relations
from pipeline.evaluate.report import ReportData, render_report, report_plots, save_plots
from pipeline.evaluate.results import rows_from_metrics
from pipeline.evaluate.retrieval_examples import read_examples
from pipeline.evaluate.sequence_lines import sequence_lines
from pipeline.tracking import History, history, read_spool
from pipeline.train.health import collapse_alarms

_DIGITS = re.compile(r"(\d+)")


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
    study = read_study(drawn.get("clusters"))
    gains, figures = stored_gains(folder), numbers(folder.metrics(("probe", "finetune")))
    browsers = sample_browsers(recipe, study, read_examples((folder.result("evaluate") or {}).get("examples")))
    relations = read_relations((folder.result("relations") or {}).get("relations"))
    return ReportData(
        title=recipe.name,
        description=recipe.description,
        rows=rows_from_metrics(figures),
        regression=regression_lines(figures),
        multi_label=multi_label_lines(figures),
        sequence=sequence_lines(numbers(folder.metrics(("probe",)))),
        gains=gains,
        history=_history(folder),
        maps=_maps(drawn),
        confusions=_confusions(drawn),
        label=recipe.label,
        pseudo_labels=study.summaries,
        browsers=browsers.clusters,
        relations=relations,
        recoveries=read_recoveries(probed.get("recovery")),
        evaluation=_evaluated(folder),
        refused=_refused(folder),
        retrievals=browsers.retrievals,
        chance=_number(probed.get("chance")),
        warnings=[
            *_texts(probed.get("warnings")),
            *_collapsed(folder),
            *_nuisances(recipe, relations),
            *_supervising(recipe, relations),
            *_leaks(recipe),
            *few_groups(gains),
            *browsers.warnings(),
        ],
        provenance=_provenance(manifest, folder),
        config=yaml.safe_dump(to_json(recipe), sort_keys=False, allow_unicode=True),
    )


def _evaluated(folder: RunFolder) -> list[EvaluationRow]:
    found = numbers(folder.metrics(["evaluate"]))
    names = sorted(found, key=lambda name: [int(part) if part.isdigit() else part for part in _DIGITS.split(name)])
    return evaluation_rows({name.removeprefix("evaluate/"): found[name] for name in names})


def _refused(folder: RunFolder) -> dict[str, str]:
    """What `kindred evaluate` left out of the learned features; the controls lack the same."""
    found = (folder.result("evaluate") or {}).get("refused")
    return {n: str(reason) for n, reason in found.items() if "/probe/" in n} if isinstance(found, dict) else {}


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


def _collapsed(folder: RunFolder) -> list[str]:
    return collapse_alarms(numbers(folder.metrics(("pretrain",))))


def _nuisances(recipe: Recipe, relations: dict[str, RelationSummary]) -> list[str]:
    return [
        f"Pretraining used the relation {name}, which encodes nuisance columns only: it teaches the nuisance."
        for name in sorted(_used(recipe) & relations.keys())
        if relations[name].is_nuisance
    ]


def _supervising(recipe: Recipe, relations: dict[str, RelationSummary]) -> list[str]:
    return [
        f"Pretraining used the relation {name}, which is built from a label column: this run is weakly supervised, and "
        "the controls were not given that column."
        for name in sorted(_used(recipe) & relations.keys())
        if relations[name].findings.get("uses_label")
    ]


def _used(recipe: Recipe) -> set[str]:
    return {name for objective in recipe.objectives if objective.weight > 0 and (name := objective.related)}


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
