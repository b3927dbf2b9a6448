import time

import pytest

from pipeline.errors import ConfigError
from pipeline.strict_yaml import parse_yaml


@pytest.mark.fault("S09")
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("1:30", "1:30"),
        ("010", "010"),
        ("0x1F", "0x1F"),
        ("2024-01-01", "2024-01-01"),
        ("1e-3", 0.001),
        ("1.5", 1.5),
        ("-3", -3),
        ("true", True),
        ("null", None),
        ("", None),
        ("'7'", "7"),
        ("[1, a, {b: 2}]", [1, "a", {"b": 2}]),
    ],
)
def test_scalars_mean_what_they_look_like(text: str, value: object) -> None:
    assert parse_yaml(text, source="test") == value


@pytest.mark.fault("S09")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "line 2.*duplicate key 'a'"),
        ("a: &x [1]\nb: *x", "aliases"),
        ("!!python/object/apply:os.system ['true']", "constructor"),
        ("!custom 1", "constructor"),
        ("1: a", "not text"),
        ("a: [1", "line"),
    ],
)
def test_what_is_not_plain_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_yaml(text, source="recipe.yaml")


@pytest.mark.fault("S09")
def test_alias_bomb_is_refused_at_once() -> None:
    bomb = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(20)
    )

    started = time.process_time()
    with pytest.raises(ConfigError, match="aliases"):
        parse_yaml(bomb, source="bomb")

    assert time.process_time() - started < 1


def test_deep_nesting_is_an_error_not_a_crash() -> None:
    with pytest.raises(ConfigError):
        parse_yaml("[" * 100_000, source="deep")
