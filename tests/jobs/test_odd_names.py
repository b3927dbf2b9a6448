"""Any name and value: spool, MLflow and back equals the normalised value."""

import math
import uuid
from pathlib import Path
from typing import TypedDict

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient

from jobs._delivery import Delivery, spool_path
from jobs._mlflow_names import MAX_PARAM, MAX_TAG, mlflow_name, mlflow_number, mlflow_text
from pipeline.tracking import Spool
from tests.jobs.tracked_folder import runs

NAMES = st.one_of(st.text(max_size=300), st.text("./ é😀", max_size=8))
LOGGED = given(
    logged=st.fixed_dictionaries(
        {
            "metrics": st.dictionaries(NAMES, st.floats(), max_size=8),
            "params": st.dictionaries(NAMES, st.one_of(st.text(max_size=600), st.floats(), st.booleans()), max_size=8),
            "tags": st.dictionaries(NAMES, st.text(max_size=600), max_size=8),
        }
    )
)
ODD = example(
    logged={
        "metrics": {"..": math.nan, "a/../b": math.inf, "😀": -math.inf, "/": 5e-324, "a//b": 1.7e308},
        "params": {"..": "x" * 7000, "a" * 300: "", "😀": "\x00 \u202e", "a.b": "https://user:secret@host/"},
        "tags": {"../..": "y" * 9000, "é" * 300: "😀" * 2000},
    }
)
SETTINGS = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


class Logged(TypedDict):
    """By name."""

    metrics: dict[str, float]
    params: dict[str, str | float]
    tags: dict[str, str]


def assert_arrives_normalised(
    folder: Path, uri: str, metrics: dict[str, float], params: dict[str, str | float], tags: dict[str, str]
) -> None:
    spool = Spool(spool_path(folder, uuid.uuid4().hex))
    spool.metrics(metrics, 3)
    spool.params(params)
    spool.tags(tags)

    Delivery(folder, uri).deliver()
    spool.path.unlink()

    found = MlflowClient(uri).get_run(runs(uri)[spool.path.stem]).data
    numbers = {mlflow_name(name): mlflow_number(value) for name, value in metrics.items()}
    assert found.metrics == pytest.approx(numbers, rel=0, abs=0, nan_ok=True)
    assert found.params == {mlflow_name(name): mlflow_text(value, MAX_PARAM) for name, value in params.items()}
    infinite = {f"infinite/{n}": f"{v} at step 3" for n, v in metrics.items() if math.isinf(v)}
    expected = {mlflow_name(n): mlflow_text(v, MAX_TAG) for n, v in {**infinite, **tags}.items()}
    assert expected.items() <= found.tags.items()


@pytest.mark.fault("M09")
@ODD
@LOGGED
@settings(max_examples=15, **SETTINGS)
def test_any_names_and_values_arrive_normalised(run_folder: Path, store_uri: str, logged: Logged) -> None:
    assert_arrives_normalised(run_folder, store_uri, **logged)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@LOGGED
@settings(max_examples=500, **SETTINGS)
def test_five_hundred_odd_runs_arrive_normalised(run_folder: Path, store_uri: str, logged: Logged) -> None:
    assert_arrives_normalised(run_folder, store_uri, **logged)


@pytest.mark.slow
@pytest.mark.fault("M09")
def test_ten_thousand_params_arrive(run_folder: Path, store_uri: str) -> None:
    spool = Spool(spool_path(run_folder, "pretrain"))
    spool.params({f"group/{number}": number for number in range(10_000)})

    Delivery(run_folder, store_uri).deliver()

    assert len(MlflowClient(store_uri).get_run(runs(store_uri)["pretrain"]).data.params) == 10_000
