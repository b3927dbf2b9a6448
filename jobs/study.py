"""kindred study STUDY: the runs of a study, each once, some at a time, and one table of what they found."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from jobs._console import Console
from jobs._provenance import provenance
from jobs._run_folder import RunFolder, identity_hash, write_json
from jobs._study_trial import Answer, Trial, failure
from jobs._tracking import RunIdentity, Tracking, tracked
from jobs.run import is_finished, run_recipe
from jobs.study_plan import StudiedRun, Study, ingestions_of, load_study
from jobs.study_result import Result, StudyResult, study_result
from pipeline.config import to_json
from pipeline.errors import KindredError, Preempted, Problems

DOCUMENT_NAME, TABLE_NAME = "study.json", "study.md"
LINK_WITHIN_S = 30.0
"""How long the first run waits for the study's own MLflow run, which it is nested in."""
Answers = dict[str, Answer]
"""Run -> what went wrong, {} where nothing did."""


def study(path: Path, overrides: Sequence[str]) -> Result:
    """Run what is missing of the study at `path`; returns what `study.json` holds.

    Raises ConfigError or Problems for the study or any of its recipes, and Problems after all runs for those that
    failed.
    """
    return run_study(load_study(path, overrides))


def run_study(study: Study) -> Result:
    """The same for a study that is planned already."""
    folder = RunFolder(study.folder)
    with folder.locked():
        answers: Answers = {}
        waiting = [run for run in (*study.trunks, *study.runs) if not _settled(run, answers)]
        if not waiting:
            return _concluded(study, _written(study, answers))
        with _tracked(study) as tracking:
            _run_all(study, waiting, tracking, answers)
            found = _written(study, answers)
            for name in (DOCUMENT_NAME, TABLE_NAME):
                tracking.run.artifact(study.folder / name, name)
            return _concluded(study, found)


def _settled(run: StudiedRun, answers: Answers) -> bool:
    """Whether a run is finished, or cannot go on as what it was before."""
    try:
        return is_finished(run.recipe, run.stages)
    except KindredError as error:
        answers[run.name] = failure(error)
        return True


def _tracked(study: Study) -> AbstractContextManager[Tracking]:
    document, recipe = to_json(study.config), study.runs[0].recipe
    identity = RunIdentity(
        experiment=str(recipe.tracking.experiment),
        name=study.config.name,
        job_key=identity_hash({"study": document, "folder": str(study.folder.resolve())}),
        tags={**provenance(), "kindred.study": study.config.name},
    )
    return tracked(study.folder, identity, uri=recipe.tracking.uri, required=recipe.tracking.required)


def _run_all(study: Study, waiting: Sequence[StudiedRun], tracking: Tracking, answers: Answers) -> None:
    tags = {"kindred.study": study.config.name}
    parent = tracking.awaited_run_id(LINK_WITHIN_S)
    if parent is None:
        Console().line("tracking: the study's own run is not delivered yet; its runs carry the tag kindred.study alone")
    else:
        tags["mlflow.parentRunId"] = parent
    _ingest(study, waiting, tags, answers)
    _run(study, [run for run in waiting if run.trunk is None], tags, answers)
    for run in waiting:
        if run.trunk is not None and (answer := answers.get(run.trunk.name)):
            answers.setdefault(run.name, answer)
    _run(study, [run for run in waiting if run.trunk is not None], tags, answers)


def _ingest(study: Study, waiting: Sequence[StudiedRun], tags: Mapping[str, str], answers: Answers) -> None:
    """Make every data set that is needed; where one fails, so do its runs."""
    for folder, ingestion in ingestions_of(waiting).items():
        try:
            run_recipe(study.recipe_path, ingestion.overrides, fork=None, stages=["ingest"], tags=tags)
        except Preempted:
            raise
        except KindredError as error:
            of_it = [run for run in waiting if run.ingestion is not None and run.ingestion.recipe.folder == folder]
            answers |= {run.name: failure(error) for run in of_it}


def _run(study: Study, runs: Sequence[StudiedRun], tags: dict[str, str], answers: Answers) -> None:
    ready = [run for run in runs if run.name not in answers]
    if study.config.at_once == 1:
        _run_here(study, ready, tags, answers)
    elif ready:
        _run_beside_each_other(study, ready, tags, answers)


def _run_here(study: Study, runs: Sequence[StudiedRun], tags: Mapping[str, str], answers: Answers) -> None:
    for number, run in enumerate(runs, start=1):
        Console().line(f"study {study.config.name}: {run.name} ({number} of {len(runs)})")
        try:
            run_recipe(study.recipe_path, run.overrides, fork=None, stages=run.stages, tags=tags)
        except Preempted:
            raise
        except KindredError as error:
            answers[run.name] = failure(error)
            Console().line(f"study {study.config.name}: {run.name} failed, the others go on: {error}")


def _run_beside_each_other(study: Study, runs: Sequence[StudiedRun], tags: dict[str, str], answers: Answers) -> None:
    from jobs._ray import Workers
    from jobs._ray_trials import run_trials

    pretrain = [run.recipe.pretrain for run in runs]
    each = Workers(
        count=study.config.at_once, cpus=max(p.threads for p in pretrain), gpus=max(p.gpus for p in pretrain)
    )
    with Console().progress(f"study {study.config.name}", len(runs)) as advance:
        done: list[str] = []

        def ended(name: str) -> None:
            done.append(name)
            advance(len(done))

        answers |= run_trials({run.name: _trial(study, run, tags) for run in runs}, each, ended=ended)


def _trial(study: Study, run: StudiedRun, tags: dict[str, str]) -> Trial:
    return Trial(
        recipe=str(study.recipe_path.resolve()),
        overrides=run.overrides,
        stages=run.stages,
        tags=tags,
        folder=str(run.recipe.folder.resolve()),
        workplace=str(Path.cwd()),
    )


def _written(study: Study, answers: Answers) -> StudyResult:
    found = study_result(study, {name: answer for name, answer in answers.items() if answer})
    write_json(study.folder / DOCUMENT_NAME, found.document, sort_keys=False)
    (study.folder / TABLE_NAME).write_text(found.markdown, encoding="utf-8")
    return found


def _concluded(study: Study, found: StudyResult) -> Result:
    """Show it. Raises Problems where something failed, with the exit code of the first."""
    for line in found.markdown.rstrip().split("\n"):
        Console().line(line)
    Console().line(f"study {study.config.name}: {study.folder / TABLE_NAME}    {study.folder / DOCUMENT_NAME}")
    if found.problems:
        raise Problems(found.problems)
    return found.document
