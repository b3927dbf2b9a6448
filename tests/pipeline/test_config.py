from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from modalities.spec import Config
from pipeline.config import build_config, load_config, walk_fields
from pipeline.errors import ConfigError, Problems


class Cosine(Config):
    kind: Literal["cosine"] = "cosine"
    temperature: float = Field(0.1, gt=0)


class Margin(Config):
    kind: Literal["margin"] = "margin"
    margin: float = 0.5


class Toy(Config):
    learning_rate: float = Field(gt=0)
    losses: tuple[Annotated[Cosine | Margin, Field(discriminator="kind")], ...] = ()
    nested: Cosine = Cosine()


def test_overrides_reach_into_lists_and_new_mappings() -> None:
    document = {"learning_rate": 1, "losses": [{"kind": "cosine"}]}

    toy = build_config(Toy, document, ["losses.0.temperature=0.5", "nested.temperature=2", "learning_rate=1e-2"])

    assert (toy.losses[0], toy.nested.temperature, toy.learning_rate) == (Cosine(temperature=0.5), 2.0, 0.01)


class Named(Config):
    out: str | list[str]


@pytest.mark.fault("C09")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("runs/датчик #1/{a}", "runs/датчик #1/{a}"),
        ("#1", "#1"),
        ("a#1", "a#1"),
        ("'a #1'", "a #1"),
        ('[a, "b #1"]', ["a", "b #1"]),
    ],
)
def test_an_override_has_no_comments(text: str, expected: object) -> None:
    assert build_config(Named, {}, [f"out={text}"]).out == expected


@pytest.mark.fault("P21")
def test_every_problem_is_reported_at_once_with_path_value_and_nearest_key() -> None:
    document = {
        "lerning_rate": 0.1,
        "losses": [{"kind": "cosine", "temprature": 1}, {"kind": "cosine", "temperature": -1}, {"kind": "clip"}],
    }

    with pytest.raises(Problems) as caught:
        build_config(Toy, document, ["losses.9.margin=1", "no_equals"])

    text = str(caught.value)
    assert caught.value.exit_code == 64
    assert len(caught.value.problems) == 7
    assert "did you mean 'learning_rate'?" in text
    assert "unknown key losses.0.temprature" in text
    assert "did you mean 'temperature'?" in text
    assert "losses.1.temperature: Input should be greater than 0" in text
    assert "expected tags: 'cosine', 'margin'" in text
    assert "losses.9.margin: no list entry 9" in text


@pytest.mark.fault("P21")
@pytest.mark.parametrize(("kind", "fix"), [("cosin", "did you mean 'cosine'?"), ("marging", "did you mean 'margin'?")])
def test_a_mistyped_kind_is_answered_with_the_nearest_one(kind: str, fix: str) -> None:
    with pytest.raises(Problems) as caught:
        build_config(Toy, {"learning_rate": 1, "losses": [{"kind": "cosine"}, {"kind": kind}]})

    assert [(problem.field, problem.fix) for problem in caught.value.problems] == [("losses.1", fix)]


def test_a_kind_that_is_near_to_none_gets_no_guess() -> None:
    with pytest.raises(Problems) as caught:
        build_config(Toy, {"learning_rate": 1, "losses": [{"kind": "xyz"}]})

    assert [problem.fix for problem in caught.value.problems] == [""]


@pytest.mark.fault("P21")
@given(st.sampled_from(["learning_rate", "losses", "nested"]), st.integers(0, 12), st.sampled_from("qxz"))
def test_any_mistyped_key_is_caught(name: str, position: int, letter: str) -> None:
    mistyped = name[:position] + letter + name[position:]
    document = {"learning_rate": 0.1, mistyped: 1}

    with pytest.raises(Problems, match="CONFIG_UNKNOWN_KEY"):
        build_config(Toy, document)


@pytest.mark.fault("P21")
@pytest.mark.parametrize("value", [".inf", ".nan", "fast", "[1]", "true_"])
def test_numbers_must_be_finite_numbers(value: str) -> None:
    with pytest.raises(Problems, match="learning_rate"):
        build_config(Toy, {}, [f"learning_rate={value}"])


@pytest.mark.parametrize("text", ['"\\ud800"', '"a\\0b"'])
def test_text_that_cannot_be_written_down_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(f"learning_rate: 1\nnested: {{note: {text}}}\n")

    with pytest.raises(Problems) as caught:
        load_config(Toy, tmp_path / "r.yaml")

    first = caught.value.problems[0]
    assert (first.exit_code, first.code, first.field) == (64, "CONFIG_TEXT", "nested.note")
    assert first.fix


def test_a_number_out_of_its_range_is_told_the_range() -> None:
    with pytest.raises(Problems) as caught:
        build_config(Toy, {"learning_rate": 1, "losses": [{"kind": "cosine", "temperature": -1}]})

    assert [(problem.field, problem.fix) for problem in caught.value.problems] == [
        ("losses.0.temperature", "choose a value > 0.0")
    ]


def test_missing_and_binary_files_are_config_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_config(Toy, tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match=r"no file can be called 'r\\x00.yaml'.*Fix: "):
        load_config(Toy, Path("r\0.yaml"))
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_config(Toy, tmp_path / "bad.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(ConfigError, match="mapping"):
        load_config(Toy, tmp_path / "list.yaml")


def test_walk_names_union_members() -> None:
    keys = [path for path, _ in walk_fields(Toy)]

    assert "losses[margin].margin" in keys
    assert "nested.temperature" in keys
