"""kindred compare RUN RUN ...: results of finished runs side by side, with paired tests on the same test samples."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import JsonValue

from jobs._console import Cells, Console
from jobs._run_folder import RunFolder, differences, numbers, read_json
from jobs.compared_features import StoredRun, features_alike
from jobs.finished_run import finished_run
from jobs.stages import STAGES
from modalities.draws import derive_seed
from pipeline.config import to_json
from pipeline.errors import ConfigError, KindredError, OutputError
from pipeline.evaluate.paired_test import PairedDifference, holm, paired_difference
from pipeline.evaluate.results import ResultRow, rows_from_metrics
from pipeline.evaluate.sample_scores import SAMPLE_SCORES_NAME, SampleScores, read_sample_scores

_WHERE = frozenset({"out", "name", "description", "tracking", "seed"})
"""Keys in which runs differ without being different."""
Key = tuple[str, str, float]


@dataclass(frozen=True)
class ComparedRun:
    """A run's results by (method, streams, percentage), and what it got right."""

    name: str
    stored: StoredRun
    recipe: JsonValue
    rows: dict[Key, ResultRow]
    scores: SampleScores


def compare(targets: Sequence[str]) -> dict[str, JsonValue]:
    """Print a table of the runs and of how each differs from the first; returns it.

    Raises ConfigError for fewer than two runs and for runs that were tested on other samples, OutputError where the
    probe stage is not finished.
    """
    if len(targets) < 2:
        raise ConfigError("nothing to compare", code="CONFIG_VALUE", field="runs", expected="two runs or more")
    runs = [_compared(target) for target in targets]
    _refuse_other_samples(runs)
    keys = [key for key in runs[0].rows if all(key in run.rows for run in runs)]
    tests = [_tests(runs[0], run, keys) for run in runs[1:]]
    changed = [differences(runs[0].recipe, run.recipe) for run in runs[1:]]
    _show(runs, keys, tests, changed)
    alike = _alike(runs)
    return {
        "runs": [run.name for run in runs],
        "changed": [[*found] for found in changed],
        "cka": [{**found} for found in alike],
        "rows": [_document(key, runs, tests) for key in keys],
    }


def _compared(target: str) -> ComparedRun:
    recipe, folder = finished_run(target)
    found = folder.result("probe")
    if found is None:
        raise OutputError(
            f"{folder.path} holds no finished probe", code="OUT_NO_PROBE", fix="run `kindred probe` on it first"
        )
    if recipe.label is None:
        raise OutputError(
            f"{folder.path} has predicted no class: runs are compared by their label",
            code="OUT_NO_PROBE",
            field="label",
            fix="compare runs whose recipe has a label",
        )
    document = to_json(recipe)
    return ComparedRun(
        name=folder.path.name,
        stored=StoredRun(recipe, folder, str(_manifest(folder))),
        recipe={key: value for key, value in document.items() if key not in _WHERE},
        rows={_key(row): row for row in rows_from_metrics(numbers(folder.metrics(STAGES)))},
        scores=read_sample_scores(folder.path / "probe" / SAMPLE_SCORES_NAME),
    )


def _manifest(folder: RunFolder) -> JsonValue:
    """Of the data set that was probed; the run may have ingested none of its own."""
    return (read_json(folder.path / "probe" / "identity.json") or {}).get("manifest")


def _key(row: ResultRow) -> Key:
    return row.method, row.subset, row.percent


def _refuse_other_samples(runs: Sequence[ComparedRun]) -> None:
    first = _labels(runs[0].scores)
    for run in runs[1:]:
        other = _labels(run.scores)
        if alone := first.keys() ^ other.keys():
            example = min(alone)
        elif unequal := [key for key in first if first[key] != other[key]]:
            example = min(unequal)
        else:
            continue
        raise ConfigError(
            f"{run.name} and {runs[0].name} were not tested on the same samples with the same classes",
            code="COMPARE_SAMPLES",
            field="runs",
            expected=f"the {len(first)} labelled test samples of {runs[0].name}",
            got=f"{len(other)} samples; they differ at {example!r}",
            fix="probe both on one data set with one label and one split",
        )


def _labels(scores: SampleScores) -> dict[str, int]:
    return dict(zip(scores.keys.tolist(), scores.labels.tolist(), strict=True))


def _tests(first: ComparedRun, other: ComparedRun, keys: Sequence[Key]) -> dict[Key, PairedDifference]:
    """other minus first; p-values adjusted over the rows of this pair of runs."""
    at, its = np.argsort(first.scores.keys), np.argsort(other.scores.keys)
    found = {}
    for key in keys:
        name = _column(key)
        if name in first.scores.correct and name in other.scores.correct:
            rng = np.random.default_rng(derive_seed(0, "compare", name))
            own, theirs = first.scores.correct[name][at], other.scores.correct[name][its]
            found[key] = paired_difference(theirs, own, first.scores.groups[at], rng=rng)
    tested = {key: test.p_value for key, test in found.items() if test.p_value is not None}
    adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
    return {
        key: PairedDifference(test.difference, test.low, test.high, adjusted.get(key)) for key, test in found.items()
    }


def _column(key: Key) -> str:
    """What the probe stage calls the row."""
    method, subset, percent = key
    kind = "probe" if method in {"linear", "knn"} else "control"
    return f"probe/{subset}/{method}/{percent:g}" if kind == "probe" else f"control/{method}/{subset}/{percent:g}"


def _show(
    runs: Sequence[ComparedRun],
    keys: Sequence[Key],
    tests: Sequence[dict[Key, PairedDifference]],
    changed: Sequence[list[str]],
) -> None:
    console = Console()
    for run, found in zip(runs[1:], changed, strict=True):
        console.line(f"{run.name} against {runs[0].name}: {'; '.join(found) or 'the same recipe, other seeds at most'}")
        if run.stored.manifest != runs[0].stored.manifest:
            console.line("  their data sets are not the same bytes: samples are paired by key")
    names = [run.name for run in runs]
    header: Cells = ("method", "streams", "labels", *names, *(f"{name}, difference" for name in names[1:]))
    body = [_cells(key, runs, tests) for key in keys]
    console.table([header, *body], left=3)
    groups = len(np.unique(runs[0].scores.groups))
    console.line(
        f"accuracy in %; difference to {names[0]} with a 95 % interval over {groups} test groups, and the p-value of a "
        "paired sign-flip test (Holm-adjusted over the rows)"
    )


def _alike(runs: Sequence[ComparedRun]) -> list[dict[str, float]]:
    """Print and return how alike the features are; stored features that cannot be read are said to be so."""
    try:
        found = features_alike([run.stored for run in runs])
    except KindredError as error:
        Console().line(f"features are not compared: {error}")
        return [{} for _ in runs[1:]]
    for run, streams in zip(runs[1:], found, strict=True):
        if streams:
            text = ", ".join(f"{name} {value:.3f}" for name, value in streams.items())
            Console().line(f"features of {run.name} and {runs[0].name}, linear CKA over test samples: {text}")
    return found


def _cells(key: Key, runs: Sequence[ComparedRun], tests: Sequence[dict[Key, PairedDifference]]) -> Cells:
    row = runs[0].rows[key]
    accuracies = (f"{100 * run.rows[key].accuracy:.1f}" for run in runs)
    return row.title, row.subset, row.labels, *accuracies, *(_difference(found.get(key)) for found in tests)


def _difference(test: PairedDifference | None) -> str:
    if test is None:
        return ""
    text = f"{100 * test.difference:+.1f}"
    if test.low is None or test.high is None or test.p_value is None:
        return text
    return f"{text} [{100 * test.low:+.1f}, {100 * test.high:+.1f}] p {test.p_value:.2g}"


def _document(
    key: Key, runs: Sequence[ComparedRun], tests: Sequence[dict[Key, PairedDifference]]
) -> dict[str, JsonValue]:
    method, subset, percent = key
    return {
        "method": method,
        "streams": subset,
        "percent": percent,
        "accuracy": [run.rows[key].accuracy for run in runs],
        "against_first": [None if key not in found else {**found[key].__dict__} for found in tests],
    }
