"""A real MLflow store on SQLite for every test: a copy of one migrated file."""

import shutil
from pathlib import Path

import pytest

from jobs._mlflow import create_sqlite


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mlflow") / "template.db"
    create_sqlite(path)
    return path


@pytest.fixture
def store_uri(migrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return f"sqlite:///{shutil.copy(migrated, tmp_path / 'mlflow.db')}"
