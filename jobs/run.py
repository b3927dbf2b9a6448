"""Run stages of a recipe: each once, resumable, tracked, with its result in the run folder."""

import json
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import JsonValue

from jobs._console import Console
from jobs._mlflow import tracking_uri
from jobs._multi_label_table import show_multi_label
from jobs._provenance import FOLDER_TAG, provenance
from jobs._regression_table import show_regression
from jobs._run_folder import RECIPE_NAME, RunFolder, identity_hash, numbers, read_json, write_json, write_recipe
from jobs._sequence_table import show_sequence
from jobs._tracking import RunIdentity, Tracking, tracked
from jobs.configs import Recipe
from jobs.ingest import ingest_recipe
from jobs.stages import STAGES, Context
from jobs.stored_gains import stored_gains
from pipeline.config import load_config, to_json
from pipeline.credentials import redact
from pipeline.errors import ConfigError, KindredError, Preempted
from pipeline.evaluate.multi_label_lines import multi_label_lines
from pipeline.evaluate.regression_lines import regression_lines
from pipeline.evaluate.results import rows_from_metrics
from pipeline.evaluate.sequence_lines import sequence_lines
from pipeline.evaluate.verdict import gain_lines, target_gain_lines
from pipeline.strict_yaml import load_yaml
from pipeline.tracking import history, read_spool

Result = dict[str, JsonValue]
_FORK = re.compile(r"[A-Za-z0-9_.-]{1,80}")


def run_recipe(
    path: Path,
    overrides: Sequence[str],
    *,
    fork: str | None,
    stages: Sequence[str],
    tags: Mapping[str, str] | None = None,
) -> Result:
    """Run `stages` of the recipe at `path`; returns what `result.json` holds. Finished stages are not run again.

    Among others, relations are a stage of recipes that declare some. tags: of its MLflow run, besides its provenance.
    """
    recipe = load_config(Recipe, path, overrides)
    refuse_folder_elsewhere(path, overrides)
    if fork is not None:
        recipe = _forked(recipe, fork, stages)
    folder, stages = RunFolder(recipe.folder), _declared(recipe, stages)
    with folder.locked():
        if "ingest" in stages and _is_finished("ingest", recipe, folder):
            _refuse_changed_files(recipe)
        if (unfinished := _first_unfinished(recipe, folder, stages)) is not None:
            _refuse_another(unfinished, recipe, folder)
            try:
                _run_tracked(recipe, folder, stages, tags or {})
            except KindredError as error:
                _record_failure(folder, error)
                raise
        result, metrics = _collect(recipe, folder), folder.metrics(STAGES)
        write_json(folder.path / "result.json", result)
    if not _show_results(recipe, folder, numbers(metrics)):
        Console().line(f"{' and '.join(stages)} finished: {recipe.place}    result: {folder.path}/result.json")
    if "report" in stages:
        Console().line(f"report: {folder.path}/report.html    result: {folder.path}/result.json")
        run_id = folder.run_ids().get("run", "not yet delivered")
        Console().line(f"browse: kindred ui    ({redact(tracking_uri(recipe.tracking.uri))}, MLflow run {run_id})")
    return result


def _first_unfinished(recipe: Recipe, folder: RunFolder, stages: Sequence[str]) -> str | None:
    return next((stage for stage in stages if not _is_finished(stage, recipe, folder)), None)


def _refuse_another(stage: str, recipe: Recipe, folder: RunFolder) -> None:
    """Before anything is recorded: a command that is refused leaves the run that is there as it was."""
    if folder.has_claim(stage):
        folder.claim(stage, STAGES[stage].identity(recipe, folder))


def is_finished(recipe: Recipe, stages: Sequence[str]) -> bool:
    """Whether these stages ended with this very configuration. Raises ConfigError for one with another."""
    folder = RunFolder(recipe.folder)
    return all(_is_finished(stage, recipe, folder) for stage in _declared(recipe, stages))


def _declared(recipe: Recipe, stages: Sequence[str]) -> Sequence[str]:
    if len(stages) > 1 and not recipe.relations:
        return [name for name in stages if name != "relations"]
    return stages


def _refuse_changed_files(recipe: Recipe) -> None:
    """Raises OutputError for a data set whose raw files have changed since; they may be gone."""
    if recipe.data.generate is None and recipe.data.root and Path(recipe.data.root).is_dir():
        ingest_recipe(recipe)


def _forked(recipe: Recipe, name: str, stages: Sequence[str]) -> Recipe:
    """Beside the old run; on its data set, unless that is to be ingested anew or would be another."""
    if not _FORK.fullmatch(name):
        raise ConfigError("no name for a fork", code="CONFIG_PATH", field="--fork", expected=_FORK.pattern, got=name)
    old, data = RunFolder(recipe.folder), recipe.folder / "data"
    forked = recipe.model_copy(update={"out": f"{recipe.folder}-{name}"})
    same = read_json(old.path / "ingest" / "identity.json") == STAGES["ingest"].identity(recipe, old)
    if "ingest" in stages or recipe.data.path or recipe.data.mix or not same or old.result("ingest") is None:
        return forked
    return forked.model_copy(update={"data": recipe.data.model_copy(update={"path": str(data)})})


def refuse_folder_elsewhere(path: Path, overrides: Sequence[str]) -> None:
    """Only the command line may name a folder anywhere: a recipe or study may come from someone else."""
    document = load_yaml(path)
    out = document.get("out") if isinstance(document, dict) else None
    overridden = any(override.startswith("out=") for override in overrides)
    if isinstance(out, str) and not overridden and (Path(out).is_absolute() or ".." in Path(out).parts):
        fix = f"give it on the command line: out={out}"
        message = f"the run folder of {path.name} leaves the working folder"
        raise ConfigError(message, code="CONFIG_PATH", field="out", expected="a folder below", got=out, fix=fix)


def _show_results(recipe: Recipe, folder: RunFolder, metrics: Mapping[str, float]) -> bool:
    """Tables of what was predicted; False where there is none."""
    console, gains = Console(), stored_gains(folder)
    if rows := rows_from_metrics(metrics):
        console.results(rows, title=f"{recipe.name}: test accuracy, %")
    if lines := regression_lines(metrics):
        show_regression(console, lines, title=f"{recipe.name}: R2 of ridge probes and tuned encoders, test split")
    if tagged := multi_label_lines(metrics):
        show_multi_label(
            console, tagged, title=f"{recipe.name}: mAP of one-vs-rest probes and tuned encoders, test split"
        )
    if steps := sequence_lines(metrics):
        show_sequence(console, steps, title=f"{recipe.name}: linear probes of single steps, test split")
    for line in (*gain_lines(gains, rows), *target_gain_lines(gains)):
        console.line(line)
    return bool(rows or lines or tagged)


def _is_finished(name: str, recipe: Recipe, folder: RunFolder) -> bool:
    """True for a stage that ended with this very configuration. Raises ConfigError for one with another."""
    if folder.result(name) is None:
        return False
    folder.claim(name, STAGES[name].identity(recipe, folder))
    return True


def _run_tracked(recipe: Recipe, folder: RunFolder, stages: Sequence[str], tags: Mapping[str, str]) -> None:
    document = to_json(recipe)
    identity = RunIdentity(
        experiment=recipe.tracking.experiment or recipe.name,
        name=recipe.folder.name,
        job_key=identity_hash({"recipe": document, "folder": str(folder.path.resolve())}),
        tags={**provenance(), **tags},
    )
    write_recipe(folder.path, document)
    Console().settings(f"kindred {recipe.name}", _headline(recipe))
    with tracked(folder.path, identity, uri=recipe.tracking.uri, required=recipe.tracking.required) as tracking:
        tracking.run.artifact(folder.path / RECIPE_NAME, RECIPE_NAME)
        tracking.run.tags({FOLDER_TAG: str(folder.path.resolve())})  # anew each time: folders are moved
        for name in stages:
            _run_stage(name, recipe, folder, tracking)
        tracking.run.metrics(numbers(folder.metrics(STAGES)), step=0)


def _run_stage(name: str, recipe: Recipe, folder: RunFolder, tracking: Tracking) -> None:
    if _is_finished(name, recipe, folder):
        return
    stage = STAGES[name]
    identity = stage.identity(recipe, folder)
    folder.claim(name, identity)
    started = time.perf_counter()
    with tracking.stage(name, job_key=identity_hash(identity)) as spool:
        result = stage.body(Context(recipe=recipe, folder=folder, spool=spool, run=tracking.run))
        found = result.pop("metrics", {})
        metrics: Result = {**(found if isinstance(found, dict) else {})}
        metrics[f"time/{name}_s"] = round(time.perf_counter() - started, 3)
        drawn = history(read_spool(spool.path)[0])  # a curve has its last value already
        spool.metrics({name: value for name, value in numbers(metrics).items() if name not in drawn}, step=0)
    folder.finish(name, {**result, "metrics": metrics})


def _headline(recipe: Recipe) -> dict[str, str]:
    objectives = " + ".join(f"{each.weight:g} {each.kind}" for each in recipe.objectives if each.weight > 0)
    workers = recipe.pretrain.workers
    return {
        "run folder": str(recipe.folder),
        "data set": str(recipe.place),
        "streams": ", ".join(f"{name} ({stream.kind})" for name, stream in recipe.streams.items()),
        "objectives": objectives,
        "workers": f"{workers} on Ray Train" if workers else "in this process",
    }


def _collect(recipe: Recipe, folder: RunFolder) -> Result:
    """Everything the finished stages of a run folder said, as one object."""
    found = {name: result for name in STAGES if (result := folder.result(name)) is not None}
    return {
        "status": "finished",
        "name": recipe.name,
        "out": str(folder.path),
        "stages": {name: {k: v for k, v in result.items() if k != "metrics"} for name, result in found.items()},
        "state_hash": found.get("pretrain", {}).get("state_hash"),
        "ledger_sha256": found.get("pretrain", {}).get("ledger_sha256"),
        "metrics": folder.metrics(STAGES),
        "mlflow": Tracking(folder.path).run_ids(),
    }


def _record_failure(folder: RunFolder, error: KindredError) -> None:
    """Leave it in the run folder. Where that fails too, the first error is the one to report: this is a word."""
    record = error.record()
    status = "stopped" if isinstance(error, Preempted) else "failed"
    try:
        write_json(folder.path / "result.json", {"status": status, "exit_code": error.exit_code, "error": record})
        with (folder.path / "errors.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False, default=str) + "\n")
    except OSError as unwritten:
        Console().line(f"{folder.path} does not tell how this ended: {unwritten.strerror or unwritten}")
