"""A real MLflow store on SQLite for every test, a copy of one migrated file, and a run folder that is tracked there.

And a tiny pretraining that every test gets a copy of.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from jobs._mlflow import create_sqlite
from jobs._tracking import write_header
from pipeline.evaluate.pseudo_labels import PSEUDO_LABELS_NAME
from tests.jobs.exported_run import Exported, exported_from, finished
from tests.jobs.tiny_run import context_of, finish
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


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    deterministic, threads = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    folder = tmp_path_factory.mktemp("probe") / "run"
    context = context_of(folder)
    for stage in ("ingest", "pretrain"):
        finish(context, stage)
    (folder / "pretrain" / PSEUDO_LABELS_NAME).unlink(missing_ok=True)  # each test has its own
    torch.use_deterministic_algorithms(deterministic)
    torch.set_num_threads(threads)
    return folder


@pytest.fixture
def folder(pretrained: Path, tmp_path: Path) -> Iterator[Path]:
    threads = torch.get_num_threads()
    yield Path(shutil.copytree(pretrained, tmp_path / "run"))
    torch.set_num_threads(threads)  # stages set it
