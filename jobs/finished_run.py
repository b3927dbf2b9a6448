"""A run that trained encoders, by the recipe it was typed with, its folder, or its MLflow run id."""

from pathlib import Path

from jobs._run_folder import RECIPE_NAME, RunFolder, read_json
from jobs.configs import Recipe
from jobs.pretrained import RUN_ID, named_run, pretraining_of, recorded_recipe
from pipeline.config import build_config, load_config
from pipeline.errors import ConfigError


def finished_run(target: str) -> tuple[Recipe, RunFolder]:
    """Recipe and folder of a run whose encoders are there.

    Raises ConfigError where `target` names nothing, CheckpointError where no pretraining was finished.
    """
    path = Path(target)
    if path.is_file():
        recipe = load_config(Recipe, path)
    elif path.is_dir() or RUN_ID.fullmatch(target):
        recipe = _recipe_in(named_run(target))
    else:
        raise ConfigError(
            f"{target} is neither a recipe nor a run",
            code="CONFIG_PATH",
            field="run",
            expected="a recipe YAML, a run folder or an MLflow run id",
            got=target,
        )
    folder = RunFolder(recipe.folder)
    pretraining_of(recipe, folder)
    return recipe, folder


def _recipe_in(folder: Path) -> Recipe:
    """The latest command's, else the one that was trained; its run folder is where it lies now."""
    document = read_json(folder / RECIPE_NAME)
    if document is None:
        return recorded_recipe(folder)
    return build_config(Recipe, {**document, "out": str(folder)})
