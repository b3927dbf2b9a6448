"""Every recipe and every configuration key."""

from pathlib import Path

import pytest

from jobs.configs import Recipe
from pipeline.config import load_config, to_json, walk_fields
from pipeline.strict_yaml import load_yaml

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "jobs" / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_loads_and_survives_json(path: Path) -> None:
    recipe = load_config(Recipe, path)

    assert Recipe.model_validate_json(recipe.model_dump_json(by_alias=True)) == recipe
    assert recipe.name == path.stem
    assert isinstance(to_json(recipe), dict)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_writes_nothing_that_is_the_default(path: Path) -> None:
    """A recipe shows what is special about it; a written default hides that and goes stale."""
    document = load_yaml(path)

    assert isinstance(document, dict)
    assert document.get("seed") != 0


def test_every_key_says_what_it_means() -> None:
    silent = [path for path, info in walk_fields(Recipe) if not info.description]

    assert silent == []
