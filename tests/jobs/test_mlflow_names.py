import math
import posixpath
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric_name, _validate_param, _validate_tag

from jobs._mlflow_names import MAX_NAME, MAX_PARAM, MAX_TAG, flatten, mlflow_name, mlflow_number, mlflow_text
from pipeline.credentials import redact

NAMES = st.one_of(st.text(), st.text("ab/.", max_size=12), st.text(min_size=251, max_size=400))


@given(name=NAMES)
@example("")
@example("..")
@example("/abs")
@example("a/../b")
@example("a" * 251)
@example("loss/😀")
def test_every_name_becomes_one_that_mlflow_takes(name: str) -> None:
    made = mlflow_name(name)

    _validate_metric_name(made)
    assert 0 < len(made) <= MAX_NAME
    assert posixpath.normpath(made) == made


@given(names=st.sets(NAMES, min_size=2, max_size=20))
def test_different_names_stay_different(names: set[str]) -> None:
    assert len({mlflow_name(name) for name in names}) == len(names)


@pytest.mark.parametrize("name", ["pretrain/loss/intra/imu", "probe/imu-photo/knn/1/accuracy_sd", "learning_rate"])
def test_good_names_stay_as_they_are(name: str) -> None:
    assert mlflow_name(name) == name


@given(value=st.one_of(st.text(max_size=2000), st.integers(), st.none(), st.lists(st.integers(), max_size=400)))
def test_values_are_short_enough(value: str | int | list[int] | None) -> None:
    assert len(_validate_param("p", mlflow_text(value, MAX_PARAM)).value) <= MAX_PARAM
    assert len(_validate_tag("t", mlflow_text(value, MAX_TAG)).value) <= MAX_TAG


def test_a_cut_value_says_so_and_different_long_values_stay_different() -> None:
    a, b = mlflow_text("x" * 7000 + "a", 500), mlflow_text("x" * 7000 + "b", 500)

    assert re.search(r"x\.\.\. \(7001 characters, sha256 [0-9a-f]{16}\)$", a)
    assert a != b


def test_infinity_is_not_a_number_for_a_chart() -> None:
    assert math.isnan(mlflow_number(math.inf))
    assert math.isnan(mlflow_number(-math.inf))
    assert mlflow_number(1e300) == 1e300


def test_passwords_of_urls_are_hidden() -> None:
    assert redact("postgresql://me:pw@db/x and http://a/b@c") == "postgresql://***@db/x and http://a/b@c"


def test_flatten_names_the_leaves() -> None:
    document = {"seed": 1, "objectives": [{"kind": "intra"}, {"kind": "cross"}], "percents": [1, 5], "empty": {}}

    assert dict(flatten(document)) == {
        "seed": 1,
        "objectives.0.kind": "intra",
        "objectives.1.kind": "cross",
        "percents": [1, 5],
        "empty": {},
    }
