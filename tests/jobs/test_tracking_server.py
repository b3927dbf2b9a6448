"""A real MLflow server behind a network that spoils replies, and one that is killed and started again."""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType

from jobs._delivery import Delivery, spool_path
from jobs._mlflow import REQUEST_S
from jobs._tracking import RunIdentity, tracked, write_header
from jobs.sync import sync
from pipeline.errors import TrackingError
from pipeline.tracking import Spool
from tests.faulty_proxy import Fault, FaultyProxy, answer, cut, faulty, half_close, late, reset, silence, trickle
from tests.free_port import free_port
from tests.jobs.tracked_folder import log_steps, points, runs
from tests.tracking_server import TrackingServer

QUICK: dict[str, Fault] = {
    "reset": reset,
    "half_close": half_close,
    "500": answer(500),
    "429": answer(429),
}
WAITING: dict[str, Fault] = {"silence": silence, "trickle": trickle(1)}
MARGIN_S = 20
"""For a busy machine. A reply of a byte a second takes minutes."""


ANY_HOST = ("--allowed-hosts", "*")
"""Answers whatever name it is called by: the proxy has another port."""


@pytest.fixture(scope="module")
def port(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "mlflow.db").write_bytes(migrated.read_bytes())
    chosen = free_port()
    server = TrackingServer(f"sqlite:///{folder}/mlflow.db", chosen, *ANY_HOST, log=folder / "server.log")
    try:
        yield chosen
    finally:
        server.kill()


@pytest.fixture
def proxy(port: int) -> Iterator[FaultyProxy]:
    with faulty(("127.0.0.1", port)) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest, proxy: FaultyProxy) -> Path:
    write_header(tmp_path, RunIdentity(request.node.name, "demo", "k", {}), uri=proxy.url)
    return tmp_path


def arrived(folder: Path, port: int) -> tuple[list[str], list[int]]:
    """Stages and steps that the server has of a folder, every one as often as it is there."""
    client = MlflowClient(f"http://127.0.0.1:{port}")
    header = json.loads((folder / "tracking" / "run.json").read_text())
    experiment = client.get_experiment_by_name(header["experiment"])
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], "", ViewType.ALL)
    histories = [client.get_metric_history(run.info.run_id, "pretrain/loss/total") for run in found]
    return sorted(run.data.tags["kindred.stage"] for run in found), [p.step for each in histories for p in each]


def deliver_at_last(delivery: Delivery, tries: int = 20) -> int:
    """Number of failed tries before everything was delivered."""
    for failed in range(tries):
        try:
            delivery.deliver()
        except TrackingError:
            continue
        return failed
    raise AssertionError(f"not delivered in {tries} tries")


@pytest.mark.fault("M02", "M03")
@pytest.mark.parametrize("name", QUICK)
def test_a_server_that_fails_for_a_while_gets_every_point_once(
    folder: Path, proxy: FaultyProxy, port: int, name: str
) -> None:
    delivery = Delivery(folder, proxy.url)
    for outage in range(2):
        log_steps(folder, range(outage * 10, outage * 10 + 5))
        proxy.always = QUICK[name]
        with pytest.raises(TrackingError, match=r"TRACK_UNAVAILABLE.*kindred sync"):
            delivery.deliver()
        proxy.always = None
        log_steps(folder, range(outage * 10 + 5, outage * 10 + 10))
        delivery.deliver()

    assert arrived(folder, port) == (["pretrain", "run"], list(range(20)))


@pytest.mark.fault("M03")
def test_replies_cut_in_their_head_are_not_taken_for_an_empty_store(
    folder: Path, proxy: FaultyProxy, port: int
) -> None:
    for outage in range(2):
        log_steps(folder, range(outage * 10, outage * 10 + 10))
        proxy.always = cut(40)
        with pytest.raises(TrackingError, match="TRACK_UNAVAILABLE"):
            Delivery(folder, proxy.url).deliver()
        proxy.always = None
        Delivery(folder, proxy.url).deliver()

    assert arrived(folder, port) == (["pretrain", "run"], list(range(20)))


@pytest.mark.slow
@pytest.mark.fault("M03")
@pytest.mark.parametrize("name", WAITING)
def test_a_request_ends_within_seconds(folder: Path, proxy: FaultyProxy, port: int, name: str) -> None:
    log_steps(folder, range(5))
    proxy.always = WAITING[name]
    started = time.monotonic()
    with pytest.raises(TrackingError, match="TRACK_UNAVAILABLE"):
        Delivery(folder, proxy.url).deliver()
    seconds = time.monotonic() - started
    proxy.always = None

    Delivery(folder, proxy.url).deliver()

    assert seconds < REQUEST_S + MARGIN_S
    assert arrived(folder, port) == (["pretrain", "run"], list(range(5)))


@pytest.mark.slow
@pytest.mark.fault("M03")
def test_a_slow_server_gets_everything(folder: Path, proxy: FaultyProxy, port: int) -> None:
    log_steps(folder, range(5))
    proxy.always = late(1)

    Delivery(folder, proxy.url).deliver()

    assert arrived(folder, port) == (["pretrain", "run"], list(range(5)))


@pytest.mark.fault("M04")
def test_lost_replies_make_no_second_run_or_point(folder: Path, proxy: FaultyProxy, port: int) -> None:
    log_steps(folder, range(5))
    spool = Spool(spool_path(folder, "pretrain"))
    spool.params({"epochs": 3})
    spool.dataset(name="planted", digest="f" * 64, source="/data/planted")
    spool.status("FINISHED")
    calls = ["experiments/create", "runs/create", "runs/create", "runs/log-batch", "runs/log-batch"]
    proxy.once = [(f"/mlflow/{call} ", cut(0)) for call in [*calls, "runs/log-inputs", "runs/update"]]
    lost = len(proxy.once)

    failed = deliver_at_last(Delivery(folder, proxy.url))

    assert proxy.once == []
    assert 0 < failed <= lost
    assert arrived(folder, port) == (["pretrain", "run"], list(range(5)))


@pytest.mark.fault("M12")
@pytest.mark.parametrize("fault", [reset, cut(0), answer(500)], ids=["reset", "lost", "500"])
def test_an_upload_that_breaks_off_is_completed_by_sync(
    folder: Path, proxy: FaultyProxy, port: int, fault: Fault
) -> None:
    contents = {f"figures/{number}.bin": os.urandom(300_000) for number in range(3)}
    spool = Spool(spool_path(folder, "pretrain"))
    for name, content in contents.items():
        path = folder / Path(name).name
        path.write_bytes(content)
        spool.artifact(path, name)
    proxy.once = [("figures/1.bin", fault)]
    with pytest.raises(TrackingError):
        Delivery(folder, proxy.url).deliver()
    client = MlflowClient(f"http://127.0.0.1:{port}")
    run_id = client.search_runs([client.get_experiment_by_name(header_name(folder)).experiment_id])[0].info.run_id
    before = {entry.path for entry in client.list_artifacts(run_id)}

    sync(folder, proxy.url)

    assert "checksums.json" not in before
    stored = Path(client.download_artifacts(run_id, "", str(folder)))
    listed = json.loads((stored / "checksums.json").read_text())
    assert listed == {name: hashlib.sha256((stored / name).read_bytes()).hexdigest() for name in contents}
    assert {name: (stored / name).read_bytes() for name in contents} == contents


def header_name(folder: Path) -> str:
    return json.loads((folder / "tracking" / "run.json").read_text())["experiment"]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.fault("M02")
def test_a_server_killed_and_started_again_in_mid_run_gets_every_point_once(tmp_path: Path, store_uri: str) -> None:
    port, log, logged = free_port(), tmp_path / "server.log", 0
    server = TrackingServer(store_uri, port, *ANY_HOST, log=log)
    identity = RunIdentity("project", "demo", "k", {})
    try:
        with (
            tracked(tmp_path / "out", identity, uri=f"http://127.0.0.1:{port}", required=True) as tracking,
            tracking.stage("pretrain", job_key="p") as run,
        ):
            for _ in range(3):
                run.metrics({"loss": 1.0}, logged)
                wait_for_points(store_uri, logged)
                server.kill()
                for step in range(logged + 1, logged + 50):
                    run.metrics({"loss": 1.0}, step)
                server = TrackingServer(store_uri, port, *ANY_HOST, log=log)
                logged += 50
    finally:
        server.kill()

    assert points(store_uri) == [("loss", step) for step in range(logged)]
    assert runs(store_uri).keys() == {"demo", "pretrain"}


def wait_for_points(uri: str, step: int) -> None:
    deadline = time.monotonic() + 100
    while ("loss", step) not in points(uri):
        assert time.monotonic() < deadline, "nothing arrives"
        time.sleep(0.1)
