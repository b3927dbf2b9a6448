"""Any mistake in any key of a real recipe is caught, with its path and a way to the right one."""

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, JsonValue

from jobs.configs import Recipe
from pipeline.config import build_config, load_config
from pipeline.errors import Problems

TINY = Path(__file__).parents[2] / "tests" / "e2e" / "tiny.yaml"


def _keys(node: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Paths of all written keys that the schema decides; names of streams and columns are the user's."""
    if isinstance(node, BaseModel):
        written = node.model_dump()
        for name, info in type(node).model_fields.items():
            if name not in written:
                continue
            yield (*path, info.alias or name)
            yield from _keys(getattr(node, name), (*path, info.alias or name))
    elif isinstance(node, dict):
        for name, value in node.items():
            yield from _keys(value, (*path, name))
    elif isinstance(node, tuple):
        for number, value in enumerate(node):
            yield from _keys(value, (*path, number))


RECIPE = load_config(Recipe, TINY)
FULL: dict[str, JsonValue] = RECIPE.model_dump(mode="json", by_alias=True)
KEYS = sorted(set(_keys(RECIPE)), key=str)


def _at(document: JsonValue, path: tuple[str | int, ...]) -> JsonValue:
    for part in path:
        document = document[part]  # type: ignore[index, call-overload]
    return document


@st.composite
def mistyped(draw: st.DrawFn, name: str) -> str:
    """One slip of the keyboard."""
    place, letter = draw(st.integers(0, len(name) - 1)), draw(st.sampled_from("aeqxz_"))
    kind = draw(st.sampled_from(["inserted", "left out", "another", "swapped", "case"]))
    return {
        "inserted": name[:place] + letter + name[place:],
        "left out": name[:place] + name[place + 1 :],
        "another": name[:place] + letter + name[place + 1 :],
        "swapped": name[:place] + name[place : place + 2][::-1] + name[place + 2 :],
        "case": name[:place] + name[place].upper() + name[place + 1 :],
    }[kind]


def _dotted(path: tuple[str | int, ...]) -> str:
    return ".".join(map(str, path))


def test_the_full_recipe_is_the_recipe() -> None:
    assert build_config(Recipe, copy.deepcopy(FULL)) == RECIPE
    assert len(KEYS) > 150


@pytest.mark.fault("P21")
@settings(max_examples=300, deadline=None)
@given(path=st.sampled_from(KEYS), data=st.data())
def test_every_mistyped_key_is_named_with_its_path(path: tuple[str | int, ...], data: st.DataObject) -> None:
    document = copy.deepcopy(FULL)
    *parents, name = path
    node = _at(document, tuple(parents))
    assert isinstance(node, dict)
    wrong = data.draw(mistyped(str(name)))
    assume(wrong not in node)
    node[wrong] = node[str(name)]

    with pytest.raises(Problems) as caught:
        build_config(Recipe, document)

    assert caught.value.exit_code == 64
    unknown = [problem for problem in caught.value.problems if problem.code == "CONFIG_UNKNOWN_KEY"]
    assert [problem.field for problem in unknown] == [_dotted((*parents, wrong))]
    assert all(problem.fix for problem in unknown)


@pytest.mark.fault("P21")
@settings(max_examples=200, deadline=None)
@given(path=st.sampled_from(KEYS), value=st.sampled_from([[[]], {"x": {"y": 1}}, "many apples", "1k", "3 s", -1]))
def test_no_value_of_another_type_range_or_unit_is_taken_for_a_number(
    path: tuple[str | int, ...], value: JsonValue
) -> None:
    document = copy.deepcopy(FULL)
    *parents, name = path
    node = _at(document, tuple(parents))
    assert isinstance(node, dict)
    old = node[str(name)]
    assume(isinstance(old, int | float))
    assume(value != -1 or path[0] in ("pretrain", "finetune"))  # where no number may be negative
    node[str(name)] = value

    with pytest.raises(Problems) as caught:
        build_config(Recipe, document)

    assert _dotted(path) in {problem.field for problem in caught.value.problems}


@pytest.mark.fault("P21")
@settings(max_examples=50, deadline=None)
@given(
    paths=st.lists(
        st.sampled_from([key for key in KEYS if key[0] in ("pretrain", "probe")]), min_size=2, max_size=5, unique=True
    )
)
def test_all_mistakes_are_named_at_once(paths: list[tuple[str | int, ...]]) -> None:
    document = copy.deepcopy(FULL)
    expected = set()
    for path in paths:
        *parents, name = path
        node = _at(document, tuple(parents))
        assert isinstance(node, dict)
        node[f"{name}q"] = 1
        expected.add(_dotted((*parents, f"{name}q")))

    with pytest.raises(Problems) as caught:
        build_config(Recipe, document)

    assert {problem.field for problem in caught.value.problems} == expected
