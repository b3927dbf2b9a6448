"""What is submitted, as a cluster gets it: a recipe, or a study with the recipe of its runs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from jobs.configs import Recipe
from jobs.pretrained import RUN_ID
from jobs.study_plan import StudiedRun, load_study
from pipeline.config import load_config, to_json

_RECIPE, _STUDY = "recipe.yaml", "study.yaml"


@dataclass(frozen=True)
class Submitted:
    """name: of the recipe or study. document: all that decides its results, whatever its file is called.

    files: here, by name in the working folder of the job, the typed one first. paths: (key, value) that it names, more
    than one value of a key where variants differ. overrides: of the command line there, before what paths need.
    names_tracking: it says itself where all of it is tracked.
    """

    name: str
    document: JsonValue
    files: dict[str, Path]
    paths: tuple[tuple[str, str], ...]
    overrides: tuple[str, ...]
    names_tracking: bool


def submitted(verb: str, path: Path, overrides: Sequence[str]) -> Submitted:
    """Raises ConfigError or Problems for what is wrong with the recipe or the study."""
    return _study(path, overrides) if verb == "study" else _recipe(path, overrides)


def _recipe(path: Path, overrides: Sequence[str]) -> Submitted:
    recipe = load_config(Recipe, path, overrides)
    paths = (("out", str(recipe.folder)), *_paths([recipe]))
    return Submitted(
        recipe.name, to_json(recipe), {_RECIPE: path}, paths, (*overrides,), recipe.tracking.uri is not None
    )


def _study(path: Path, overrides: Sequence[str]) -> Submitted:
    study = load_study(path, overrides)
    document: JsonValue = {
        "study": to_json(study.config.model_copy(update={"recipe": _RECIPE})),
        "runs": [to_json(run.recipe) for run in study.runs],
    }
    paths = (("out", str(study.folder)), *_paths(_before_planning(run) for run in study.runs))
    files = {_STUDY: path, _RECIPE: study.recipe_path}
    names_tracking = all(run.recipe.tracking.uri is not None for run in study.runs)
    return Submitted(study.config.name, document, files, paths, (*overrides, f"recipe={_RECIPE}"), names_tracking)


def _before_planning(run: StudiedRun) -> Recipe:
    """A run's recipe that does not yet name the data set that the study makes."""
    return run.recipe if run.ingestion is None else run.ingestion.recipe


def _paths(recipes: Iterable[Recipe]) -> list[tuple[str, str]]:
    """Each once."""
    found: dict[tuple[str, str], None] = {}
    for recipe in recipes:
        named = {"data.root": recipe.data.root, "data.path": recipe.data.path}
        if recipe.pretrained is not None and not RUN_ID.fullmatch(recipe.pretrained):
            named["pretrained"] = recipe.pretrained
        found |= dict.fromkeys((key, path) for key, path in named.items() if path)
    return [*found]
