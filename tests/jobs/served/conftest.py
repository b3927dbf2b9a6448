"""A tiny run that is pretrained, fine-tuned and exported, which the tests of served models share."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from jobs._run_folder import RunFolder, write_recipe
from jobs.configs import Recipe
from jobs.export import export
from jobs.stages import STAGES, Context
from pipeline.config import load_config, to_json
from pipeline.tracking import Spool
from tests.served_requests import TrainingTime

RECIPE = Path(__file__).parents[2] / "e2e" / "tiny.yaml"
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


@pytest.fixture(scope="session")
def exported(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exported]:
    deterministic, threads = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    folder = tmp_path_factory.mktemp("served")
    recipe = load_config(Recipe, RECIPE, [*SHORT, *TUNED, f"out={folder}/run"])
    run, spool = RunFolder(folder / "run"), Spool(folder / "spool.jsonl")
    for stage in ("ingest", "pretrain", "finetune"):
        run.finish(stage, {"metrics": {}, **STAGES[stage].body(Context(recipe, run, spool, spool))})
    write_recipe(run.path, to_json(recipe))
    shutil.copy(migrated, folder / "mlflow.db")
    uri = f"sqlite:///{folder}/mlflow.db"
    made = export(str(run.path), [f"uri={uri}"])
    yield Exported(run.path, Path(str(made["path"])), uri, str(made["version"]))
    torch.use_deterministic_algorithms(deterministic)
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def training_time(exported: Exported) -> TrainingTime:
    return TrainingTime(exported.run)


@pytest.fixture
def copy(exported: Exported, tmp_path: Path) -> Path:
    """The model's folder, to be damaged."""
    return Path(shutil.copytree(exported.path, tmp_path / "model"))
