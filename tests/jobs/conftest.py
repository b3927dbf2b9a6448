"""A real MLflow store on SQLite for every test, a copy of one migrated file, and a run folder that is tracked there."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from jobs._mlflow import create_sqlite
from jobs._tracking import write_header
from tests.jobs.exported_run import Exported, exported_from, finished
from tests.jobs.tracked_folder import IDENTITY
from tests.served_requests import TrainingTime


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mlflow") / "template.db"
    create_sqlite(path)
    return path


@pytest.fixture
def store_uri(migrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return f"sqlite:///{shutil.copy(migrated, tmp_path / 'mlflow.db')}"


@pytest.fixture
def run_folder(tmp_path: Path, store_uri: str) -> Path:
    folder = tmp_path / "runs" / "demo"
    write_header(folder, IDENTITY, uri=store_uri)
    return folder


@pytest.fixture(scope="session")
def exported_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    deterministic, threads = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    yield finished(tmp_path_factory.mktemp("finished"))
    torch.use_deterministic_algorithms(deterministic)
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def exported(migrated: Path, exported_run: Path) -> Exported:
    shutil.copy(migrated, exported_run.parent / "mlflow.db")
    return exported_from(exported_run, f"sqlite:///{exported_run.parent}/mlflow.db")


@pytest.fixture(scope="session")
def training_time(exported_run: Path) -> TrainingTime:
    return TrainingTime(exported_run)
