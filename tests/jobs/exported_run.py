"""A tiny run that is pretrained, fine-tuned and exported, which tests of models and embeddings share."""

from dataclasses import dataclass
from pathlib import Path

from jobs._run_folder import RunFolder, write_recipe
from jobs.configs import Recipe
from jobs.export import export
from jobs.stages import Context
from pipeline.config import load_config, to_json
from pipeline.tracking import Spool
from tests.jobs.tiny_run import RECIPE, finish

SHORT = [
    "data.generate.events_per_session=12",
    "pretrain.epochs=1",
    "pretrain.batch_size=8",
    "objectives=[{kind: cross}]",
]
TUNED = ["finetune.epochs=1", "finetune.supervised_control=false", "relations={}"]


@dataclass(frozen=True)
class Exported:
    """path: the model's folder; uri: the tracking store it is registered in."""

    run: Path
    path: Path
    uri: str
    version: str


def finished(folder: Path, *overrides: str) -> Path:
    """A run folder below `folder` with a data set, a pretraining and a fine-tuning."""
    recipe = load_config(Recipe, RECIPE, [*SHORT, *TUNED, f"out={folder}/run", *overrides])
    run, spool = RunFolder(folder / "run"), Spool(folder / "spool.jsonl")
    for stage in ("ingest", "pretrain", "finetune"):
        finish(Context(recipe, run, spool, spool), stage)
    write_recipe(run.path, to_json(recipe))
    return run.path


def exported_from(run: Path, uri: str) -> Exported:
    """The model of a run, registered."""
    made = export(str(run), [f"uri={uri}"])
    return Exported(run, Path(str(made["path"])), uri, str(made["version"]))
