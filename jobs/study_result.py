"""The result of a study: table, document, choice, and what failed, from the folders of its runs."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from jobs._run_folder import RunFolder, numbers
from jobs._study_trial import Answer
from jobs.study_config import TRUNK, VALIDATION_METRIC, SelectConfig
from jobs.study_plan import StudiedRun, Study
from jobs.study_table import Found, StudyTable, study_table
from pipeline.errors import ConfigError, KindredError, kind_of

Result = dict[str, JsonValue]


@dataclass(frozen=True)
class StudyResult:
    """document: what `study.json` holds; table: of the runs that did not fail; problems: every run that did, and a
    choice that could not be made."""

    document: Result
    table: StudyTable
    markdown: str
    problems: list[KindredError]


def study_result(study: Study, failed: Mapping[str, Answer]) -> StudyResult:
    """Read the runs that did not fail. failed: answer of each that did, by name."""
    config = study.config
    found = {variant: _metrics(study, variant, failed) for variant in config.all_variants()}
    shared = {run.seed: _numbers(run) for run in study.trunks if run.name not in failed}
    table = study_table(found, shared)
    problems: list[KindredError] = [_error(name, answer) for name, answer in failed.items()]
    chosen: Result | None = None
    if config.select is not None:
        try:
            chosen = _chosen(config.select, found, seeds=len(config.seeds))
        except ConfigError as error:
            problems.append(error)
    runs = {variant: _runs(study.runs, variant, failed) for variant in found}
    variants = {name: {"overrides": [*given], "runs": runs[name]} for name, given in config.all_variants().items()}
    document: Result = {
        "status": "failed" if problems else "finished",
        "name": config.name,
        "out": str(study.folder),
        "recipe": str(study.recipe_path),
        "variants": {**variants},
        "shared": _runs(study.trunks, TRUNK, failed),
        **table.document(),
        "selected": chosen,
        "mlflow": RunFolder(study.folder).run_ids(),
    }
    parts = [f"# {config.name}", config.description, _heading(study), table.markdown(), _sentence(chosen)]
    parts += [f"- {problem}" for problem in problems]
    return StudyResult(document, table, "\n\n".join(part for part in parts if part) + "\n", problems)


def _metrics(study: Study, variant: str, failed: Mapping[str, Answer]) -> dict[int, dict[str, float]]:
    finished = [run for run in study.runs if run.variant == variant and run.name not in failed]
    return {run.seed: _numbers(run) for run in finished}


def _numbers(run: StudiedRun) -> dict[str, float]:
    return numbers(RunFolder(run.recipe.folder).metrics(run.stages))


def _runs(runs: Sequence[StudiedRun], variant: str, failed: Mapping[str, Answer]) -> Result:
    return {str(run.seed): _run(run, failed.get(run.name)) for run in runs if run.variant == variant}


def _run(run: StudiedRun, answer: Answer | None) -> Result:
    folder = run.recipe.folder
    known: Result = {"out": str(folder), "mlflow": RunFolder(folder).run_ids().get("run")}
    if answer is None:
        return {"status": "finished", **known}
    return {"status": "failed", **known, **answer}  # pyright: ignore[reportReturnType] - plain JSON values


def _error(run: str, answer: Answer) -> KindredError:
    """What ended a run, of the kind, with the code and the exit code that it had there."""
    record = answer["error"]
    assert isinstance(record, dict)  # noqa: S101 - written by us
    message = record.get("message") or "; ".join(str(each["message"]) for each in record["problems"])
    given = {name: record[name] for name in ("fix", *KindredError.fields) if name in record}
    return kind_of(int(str(answer["exit_code"])))(f"run {run}: {message}", code=record["code"], **given)


def _chosen(select: SelectConfig, found: Found, *, seeds: int) -> Result:
    """The variant with the best mean over all seeds. Raises ConfigError where no variant has the metric."""
    values = {name: [m[select.metric] for m in by.values() if select.metric in m] for name, by in found.items()}
    means = {name: statistics.mean(each) for name, each in values.items() if len(each) == seeds}
    if not means:
        known = {name for by in found.values() for m in by.values() for name in m if VALIDATION_METRIC.fullmatch(name)}
        raise ConfigError(
            "no variant has this metric with every seed, so that none is chosen",
            code="CONFIG_VALUE",
            field="select.metric",
            expected=sorted(known) or "a data set whose split or groups allow validation",
            got=select.metric,
        )
    best = (max if select.mode == "max" else min)(means, key=lambda name: means[name])
    return {"variant": best, "metric": select.metric, "mode": select.mode, "means": {**means}}


def _heading(study: Study) -> str:
    seeds = ", ".join(map(str, study.config.seeds))
    return f"Test accuracy in %, mean ± sample sd over seeds {seeds}; {' and '.join(study.config.stages)}."


def _sentence(chosen: Result | None) -> str:
    if chosen is None:
        return ""
    return (
        f"Chosen by {chosen['mode']} {chosen['metric']}, which the test split has no part in: **{chosen['variant']}**."
    )
