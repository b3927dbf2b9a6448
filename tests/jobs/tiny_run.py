"""Stages of the tiny recipe, run in this process."""

from pathlib import Path

from jobs._run_folder import RunFolder
from jobs.configs import Recipe
from jobs.stages import STAGES, Context
from pipeline.config import load_config
from pipeline.tracking import Spool

RECIPE = Path(__file__).parents[1] / "e2e" / "tiny.yaml"
SMALL = [
    "data.generate.events_per_session=12",
    "pretrain.epochs=1",
    "pretrain.batch_size=8",
    "probe.label_percents=[100]",
    "subsets=[[imu]]",
]


def context_of(folder: Path, *overrides: str) -> Context:
    spool = Spool(folder / "tracking" / "test.jsonl")
    recipe = load_config(Recipe, RECIPE, [*SMALL, f"out={folder}", *overrides])
    return Context(recipe, RunFolder(folder), spool, spool)


def finish(context: Context, stage: str) -> None:
    context.folder.finish(stage, {"metrics": {}, **STAGES[stage].body(context)})
