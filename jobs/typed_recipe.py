"""What was typed in place of a recipe: its file, or a run whose recipe is taken up again."""

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from jobs.pretrained import RUN_ID, named_run, recorded_recipe
from pipeline.config import to_json
from pipeline.data.place import absolute

DOWNSTREAM = frozenset({"probe", "evaluate", "finetune"})
"""Verbs that take a run in place of a recipe."""


@contextlib.contextmanager
def typed_recipe(verb: str, target: str, overrides: Sequence[str]) -> Iterator[tuple[Path, list[str]]]:
    """A recipe's file and overrides. target: a recipe, or the folder or MLflow run id of a finished pretraining.

    A run goes on in its own folder; with `out=DIR` another one begins there, from its data and its encoders. Raises
    OutputError or CheckpointError where there is no such run, TrackingError where the store does not know it.
    """
    path = Path(target)
    if verb not in DOWNSTREAM or not (path.is_dir() or RUN_ID.fullmatch(target)):
        yield path, [*overrides]
        return
    folder = named_run(target, _given("tracking.uri", overrides)).resolve()
    recipe = recorded_recipe(folder)
    document = to_json(recipe)
    del document["out"]
    if _given("out", overrides) is None:
        own = [f"out={folder}"]
    else:
        data = [] if recipe.data.mix else [f"data.path={absolute(recipe.place)}"]
        own = [f"pretrained={folder if path.is_dir() else target}", *data]
    with tempfile.TemporaryDirectory(prefix="kindred-recipe-") as temporary:
        file = Path(temporary) / "recipe.yaml"
        file.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
        yield file, [*own, *overrides]


def _given(key: str, overrides: Sequence[str]) -> str | None:
    found = [text.partition("=")[2] for text in overrides if text.startswith(f"{key}=")]
    return found[-1] if found else None
