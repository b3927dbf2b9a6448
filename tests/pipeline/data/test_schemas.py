"""Schemas that contradict their sources are refused before anything is read."""

import pytest

from pipeline.data.schemas import check_schemas
from pipeline.errors import ConfigError, Problems
from tests.pipeline.data.raw_files_of_a_user import describe

NOTE = {"kind": "words"}


@pytest.mark.parametrize(
    "imu", [{"kind": "toy"}, {"kind": "toy", "channels": ["x", "y"], "rate_hz": 10}, {"kind": "toy", "rate_hz": 10.0}]
)
def test_what_agrees_or_is_not_stated_passes(imu: dict[str, object]) -> None:
    check_schemas(describe(), {"imu": imu, "note": NOTE})


@pytest.mark.parametrize(
    ("schemas", "fields"),
    [
        ({"imu": {"kind": "toy", "channels": ["y", "x"]}, "note": NOTE}, ["schemas.imu"]),
        ({"imu": {"kind": "toy", "channels": ["x"], "rate_hz": 20}, "note": NOTE}, ["schemas.imu"] * 2),
        ({"imu": {"kind": "toy"}}, ["schemas.note"]),
        ({"imu": {"kind": "toy"}, "note": NOTE, "photo": {}}, ["schemas.photo"]),
    ],
)
def test_every_contradiction_is_named(schemas: dict[str, dict[str, object]], fields: list[str]) -> None:
    with pytest.raises(Problems) as caught:
        check_schemas(describe(), schemas)

    assert [problem.field for problem in caught.value.problems] == fields
    assert all(isinstance(problem, ConfigError) for problem in caught.value.problems)


def test_the_stored_rate_and_selection_count() -> None:
    document = describe().model_dump(mode="json")["streams"]
    document["imu"] |= {"select": ["y"], "resample_hz": 5}

    check_schemas(describe(streams=document), {"imu": {"kind": "toy", "channels": ["y"], "rate_hz": 5}, "note": NOTE})
    with pytest.raises(Problems):
        check_schemas(describe(streams=document), {"imu": {"kind": "toy", "rate_hz": 10}, "note": NOTE})
