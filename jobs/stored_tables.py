"""The tables of frozen features that a probe stage leaves in its run folder, and that `kindred evaluate` reads."""

from collections.abc import Iterable, Mapping

from pydantic import JsonValue

from jobs._run_folder import RunFolder
from pipeline.errors import OutputError
from pipeline.evaluate.features import Features, made_by, read_features

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
    makers = (folder.result("probe") or {}).get("tables")
    if not isinstance(makers, dict):
        raise OutputError(
            f"{folder.path} holds no finished probe with tables of features",
            code="OUT_NO_PROBE",
            expected="probe/result.json of a recipe that predicts something, by this version",
            fix="run `kindred probe`; delete probe/result.json first where an older version wrote it",
        )
    return {
        source: read_features(folder.path / "probe" / name, encoder_hash=str(makers[source]))
        for source, name in TABLES.items()
        if source in makers
    }
