"""A run folder with spools, and what an MLflow database holds of it."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import ViewType

from jobs._delivery import spool_path
from jobs._tracking import RunIdentity
from pipeline.tracking import Spool

IDENTITY = RunIdentity("project", "demo", "k" * 64, {"mlflow.source.git.commit": "abc"})


def log_steps(folder: Path, steps: range, *, names: tuple[str, ...] = ("pretrain/loss/total",)) -> None:
    """Points of the pretraining stage."""
    spool = Spool(spool_path(folder, "pretrain"))
    for step in steps:
        spool.metrics(dict.fromkeys(names, 1.0 / (step + 1)), step)


def points(uri: str) -> list[tuple[str, int]]:
    """Every stored row: a point that arrived twice would be here twice."""
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as database:
        return sorted(database.execute("select key, step from metrics"))


def runs(uri: str, view: int = ViewType.ALL) -> Mapping[str, str]:
    """Run name -> id of all experiments. No name may be there twice."""
    client = MlflowClient(uri)
    experiments = [found.experiment_id for found in client.search_experiments(view_type=ViewType.ALL)]
    found = client.search_runs(experiments, "", view)
    assert len({run.info.run_name for run in found}) == len(found)
    return {run.info.run_name or "": run.info.run_id for run in found}
