"""What can happen to the MLflow database under a run, and to its run in it."""

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType

from jobs._delivery import Delivery, spool_path
from jobs._mlflow import prepare_sqlite
from jobs.sync import sync
from pipeline.digest import sha256
from pipeline.errors import TrackingError
from pipeline.tracking import Spool
from tests.jobs.tracked_folder import log_steps, points, runs


@pytest.mark.fault("M06")
def test_a_store_that_lost_everything_is_filled_again(run_folder: Path, store_uri: str, migrated: Path) -> None:
    log_steps(run_folder, range(4))
    Delivery(run_folder, store_uri).deliver()
    for path in run_folder.parents[1].glob("mlflow.db*"):
        path.unlink()
    shutil.copy(migrated, store_uri.removeprefix("sqlite:///"))

    Delivery(run_folder, store_uri).deliver()

    assert points(store_uri) == [("pretrain/loss/total", step) for step in range(4)]


def test_a_store_that_fails_in_between_is_attached_again(run_folder: Path, store_uri: str, migrated: Path) -> None:
    database = Path(store_uri.removeprefix("sqlite:///"))
    delivery = Delivery(run_folder, store_uri)
    log_steps(run_folder, range(4))
    delivery.deliver()
    log_steps(run_folder, range(4, 6))
    with sqlite3.connect(database) as connection:
        connection.execute("alter table metrics rename to hidden")
    with pytest.raises(TrackingError, match="metrics"):
        delivery.deliver()
    with sqlite3.connect(database) as connection:
        connection.execute("alter table hidden rename to metrics")

    delivery.deliver()

    assert points(store_uri) == [("pretrain/loss/total", step) for step in range(6)]


@pytest.mark.fault("M06")
def test_a_damaged_database_is_an_error_that_names_it(run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"not a database, and long enough to be taken for one" * 40)

    with pytest.raises(TrackingError, match=str(tmp_path / "mlflow.db")) as caught:
        Delivery(run_folder, f"sqlite:///{tmp_path / 'mlflow.db'}").deliver()

    assert caught.value.exit_code == 69


@pytest.mark.fault("M06")
def test_a_database_damaged_in_mid_run_is_filled_again_after_its_repair(run_folder: Path, store_uri: str) -> None:
    database = Path(store_uri.removeprefix("sqlite:///"))
    delivery = Delivery(run_folder, store_uri)
    log_steps(run_folder, range(4))
    delivery.deliver()
    backup = database.read_bytes()
    log_steps(run_folder, range(4, 7))
    delivery.deliver()
    database.write_bytes(bytes(100) + database.read_bytes()[100:])
    log_steps(run_folder, range(7, 9))
    with pytest.raises(TrackingError, match=str(database)):
        delivery.deliver()
    database.write_bytes(backup)

    sync(run_folder)

    assert points(store_uri) == [("pretrain/loss/total", step) for step in range(9)]
    assert len(runs(store_uri)) == 2


@pytest.mark.slow
@pytest.mark.fault("M06")
def test_a_locked_database_is_an_error_that_names_it_until_it_is_free(run_folder: Path, store_uri: str) -> None:
    log_steps(run_folder, range(4))
    delivery = Delivery(run_folder, store_uri)
    delivery.deliver()
    log_steps(run_folder, range(4, 9))
    with contextlib.closing(sqlite3.connect(store_uri.removeprefix("sqlite:///"))) as holder:
        holder.execute("begin exclusive")
        with pytest.raises(TrackingError, match=f"{store_uri}.*locked"):
            delivery.deliver()

    delivery.deliver()

    assert points(store_uri) == [("pretrain/loss/total", step) for step in range(9)]


@pytest.mark.fault("M11")
def test_a_database_of_another_version_is_left_alone(run_folder: Path, store_uri: str, tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    with sqlite3.connect(database) as connection:
        connection.execute("update alembic_version set version_num = '451aebb31d03'")
    before = sha256(database.read_bytes())

    with pytest.raises(TrackingError, match=rf"{database}.*found version 451aebb31d03, but expected \w+"):
        Delivery(run_folder, store_uri).deliver()

    assert sha256(database.read_bytes()) == before


@pytest.mark.fault("M08")
def test_a_deleted_run_is_not_silently_made_again(run_folder: Path, store_uri: str) -> None:
    log_steps(run_folder, range(2))
    Delivery(run_folder, store_uri).deliver()
    victim = runs(store_uri)["pretrain"]
    MlflowClient(store_uri).delete_run(victim)
    log_steps(run_folder, range(2, 4))

    with pytest.raises(TrackingError, match=f"TRACK_RUN.*{victim} .*deleted"):
        Delivery(run_folder, store_uri).deliver()

    assert len(runs(store_uri)) == 2


@pytest.mark.fault("M08")
def test_a_deleted_run_is_replaced_by_a_linked_one_on_request(run_folder: Path, store_uri: str) -> None:
    log_steps(run_folder, range(2))
    first = sync(run_folder)["mlflow_runs"]
    assert isinstance(first, dict)
    for run_id in first.values():
        MlflowClient(store_uri).delete_run(str(run_id))

    sync(run_folder, new_run=True)
    sync(run_folder)

    found = runs(store_uri, ViewType.ACTIVE_ONLY)
    assert found.keys() == {"demo", "pretrain"}
    assert MlflowClient(store_uri).get_run(found["demo"]).data.tags["kindred.parent"] == first["run"]
    assert len(MlflowClient(store_uri).get_metric_history(found["pretrain"], "pretrain/loss/total")) == 2


@pytest.mark.fault("M08")
def test_a_deleted_experiment_is_not_silently_made_again(run_folder: Path, store_uri: str) -> None:
    log_steps(run_folder, range(2))
    Delivery(run_folder, store_uri).deliver()
    MlflowClient(store_uri).delete_experiment("1")

    with pytest.raises(TrackingError, match=r"TRACK_RUN.*deleted.*--new-run"):
        Delivery(run_folder, store_uri).deliver()

    assert len(runs(store_uri)) == 2


@pytest.mark.fault("M08")
def test_runs_of_a_renamed_experiment_go_on_there(run_folder: Path, store_uri: str) -> None:
    log_steps(run_folder, range(2))
    Delivery(run_folder, store_uri).deliver()
    MlflowClient(store_uri).rename_experiment("1", "a better name")
    log_steps(run_folder, range(2, 4))

    Delivery(run_folder, store_uri).deliver()

    assert points(store_uri) == [("pretrain/loss/total", step) for step in range(4)]
    assert len(runs(store_uri)) == 2


@pytest.mark.fault("M08")
def test_a_finished_run_goes_on_when_its_stage_is_run_again(run_folder: Path, store_uri: str) -> None:
    for status in ("FINISHED", "RUNNING"):
        Spool(spool_path(run_folder, "run")).status(status)
        Delivery(run_folder, store_uri).deliver()
        assert MlflowClient(store_uri).get_run(runs(store_uri)["demo"]).info.status == status


@pytest.mark.fault("M04")
@pytest.mark.parametrize("resync", [False, True])
def test_runs_that_a_late_server_made_beside_the_first_are_removed(
    run_folder: Path, store_uri: str, resync: bool
) -> None:
    log_steps(run_folder, range(3))
    Delivery(run_folder, store_uri).deliver()
    client, first = MlflowClient(store_uri), runs(store_uri)
    for run_id in first.values():
        run = client.get_run(run_id)
        for _ in range(4):  # an id of them sorts before the first's, by all odds
            client.create_run("1", start_time=run.info.start_time, tags=run.data.tags, run_name=run.info.run_name)
    log_steps(run_folder, range(3, 5))

    if resync:
        sync(run_folder)
    else:
        Delivery(run_folder, store_uri).deliver()

    assert runs(store_uri, ViewType.ACTIVE_ONLY) == first
    assert points(store_uri) == [("pretrain/loss/total", step) for step in range(5)]


def test_a_place_that_is_no_file_is_refused_and_stays(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(TrackingError, match=f"TRACK_URI: {path} is no file"):
            prepare_sqlite(path)
    assert (tmp_path / "pipe").is_fifo()
