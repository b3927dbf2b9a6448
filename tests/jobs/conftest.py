"""A real MLflow store on SQLite for every test, a copy of one migrated file, and a run folder that is tracked there."""

import shutil
from pathlib import Path

import pytest

from jobs._mlflow import create_sqlite
from jobs._tracking import write_header
from tests.jobs.tracked_folder import IDENTITY


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
