"""The tables of frozen features that a probe stage leaves in its run folder, and that `kindred evaluate` reads."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import JsonValue

from jobs._run_folder import RunFolder
from jobs.sequence import StepTables
from pipeline.errors import OutputError
from pipeline.evaluate.features import Features, made_by, read_features
from pipeline.evaluate.step_table import StepTable, read_steps

TABLES: Mapping[str, str] = {
    "probe": "features.parquet",
    "random_init": "random_init.parquet",
    "features": "handmade.parquet",
    "mini_rocket": "mini_rocket.parquet",
}
"""Source of the features -> file in the folder of the probe stage; the last is there where a recipe asks for it."""


def recorded_makers(folder: RunFolder, sources: Iterable[str]) -> dict[str, JsonValue]:
    """What made each table, for the result of the probe stage."""
    return {source: made_by(folder.stage("probe") / TABLES[source]) for source in sources}


def stored_tables(folder: RunFolder) -> dict[str, Features]:
    """The tables by source, which must be those of the finished probe stage.

    Raises OutputError where there is no such stage, DataError for a table that is missing or damaged, CheckpointError
    for one that something else made.
    """
    makers = _recorded(folder, "tables")
    return {
        source: read_features(folder.path / "probe" / name, encoder_hash=str(makers[source]))
        for source, name in TABLES.items()
        if source in makers
    }


def step_table_path(folder: RunFolder, target: str, source: str) -> Path:
    """Where the step features of a step label are."""
    return folder.path / "probe" / "steps" / target / f"{source}.parquet"


def recorded_step_makers(tables: StepTables) -> dict[str, JsonValue]:
    """What made each table, for the result of the probe stage."""
    return {target: {source: t.encoder_hash for source, t in by.items()} for target, by in tables.items()}


def stored_step_tables(folder: RunFolder, targets: Iterable[str]) -> StepTables:
    """The step features of these step labels that the finished probe stage stored. Raises as `stored_tables` does."""
    return {target: _stored_steps(folder, target) for target in targets}


def _stored_steps(folder: RunFolder, target: str) -> dict[str, StepTable]:
    makers = _recorded(folder, "step_tables")[target]
    assert isinstance(makers, dict)  # noqa: S101 - as it was recorded
    return {
        source: read_steps(step_table_path(folder, target, source), encoder_hash=str(made))
        for source, made in makers.items()
    }


def _recorded(folder: RunFolder, key: str) -> dict[str, JsonValue]:
    makers = (folder.result("probe") or {}).get(key)
    if not isinstance(makers, dict):
        raise OutputError(
            f"{folder.path} holds no finished probe with {key.replace('_', ' ')} of features",
            code="OUT_NO_PROBE",
            expected="probe/result.json of a recipe that predicts something, by this version",
            fix="run `kindred probe`; delete probe/result.json first where an older version wrote it",
        )
    return makers
