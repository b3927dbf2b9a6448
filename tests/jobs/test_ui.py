"""kindred ui as this machine, other web sites and other machines see it."""

import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from jobs._delivery import spool_path
from jobs._tracking import RunIdentity, write_header
from jobs.sync import sync
from jobs.ui import serve, server_command
from pipeline.errors import EnvironmentFault
from pipeline.tracking import Spool
from tests.jobs.served_ui import ServedUi, listening

CANARY = "CANARY-OUTSIDE-THE-STORE"
SEARCH = "/api/2.0/mlflow/experiments/search?max_results=1"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"


@pytest.fixture(scope="module")
def ui(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedUi]:
    """One server for all tests; the last one stops it."""
    folder = tmp_path_factory.mktemp("ui")
    shutil.copy(migrated, folder / "mlflow.db")
    (folder / "outside").mkdir()
    (folder / "outside" / "secret.txt").write_text(CANARY)
    made = ServedUi(folder, f"sqlite:///{folder}/mlflow.db")
    try:
        made.wait_until_ready()
        yield made
    finally:
        if made.process.poll() is None:
            made.stop()


@pytest.fixture(scope="module")
def run(ui: ServedUi) -> str:
    """Path of a run's artifacts: experiment/run/artifacts."""
    experiment = ui.post("/api/2.0/mlflow/experiments/create", {"name": "x"}).json()["experiment_id"]
    made = ui.post("/api/2.0/mlflow/runs/create", {"experiment_id": experiment}).json()["run"]["info"]
    return made["artifact_uri"].removeprefix("mlflow-artifacts:/")  # pyright: ignore


@pytest.mark.fault("P22")
def test_a_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(EnvironmentFault, match=f"ENV_PORT: port {port} .*--port N"):
            serve(port, "sqlite:///unused.db")

    assert not Path("unused.db").exists()


def test_a_remote_server_is_only_named(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        serve(1, "http://user:secret@tracking.example:5000")

    assert "http://***@tracking.example:5000" in caplog.text


def test_a_run_is_delivered_to_it_once(ui: ServedUi, tmp_path: Path) -> None:
    write_header(tmp_path / "out", RunIdentity("project", "demo", "k", {}), uri="sqlite:///unused.db")
    (tmp_path / "a.txt").write_text("hello")
    spool = Spool(spool_path(tmp_path / "out", "pretrain"))
    spool.metrics({"loss": 1.0}, 1)
    spool.artifact(tmp_path / "a.txt", "figures/a.txt")

    sent = [sync(tmp_path / "out", ui.uri)["points"] for _ in range(2)]

    assert sent == [1, 1]
    assert [path.read_text() for path in (ui.folder / "mlartifacts").rglob("figures/a.txt")] == ["hello"]


@pytest.mark.fault("S15")
def test_it_listens_on_loopback_only(ui: ServedUi) -> None:
    assert listening(ui.family()) == {("127.0.0.1", ui.port)}


@pytest.mark.fault("S16")
@pytest.mark.parametrize(
    "host",
    [
        *("evil.com", "10.evil.com", "192.168.evil.com", "127.evil.com:PORT", "localhost.evil.com:PORT", "0.0.0.0"),
        *("0.0.0.0:PORT", "localhost:1", "evil.com#localhost:PORT", ""),
    ],
)
def test_another_host_name_is_refused(ui: ServedUi, host: str) -> None:
    for path in ("/", SEARCH, f"{ARTIFACTS}?path="):
        assert ui.get(path, Host=host.replace("PORT", str(ui.port))).status == 403


def test_its_own_names_are_answered_and_never_framed(ui: ServedUi) -> None:
    for host in ("localhost", "127.0.0.1"):
        reply = ui.get("/", Host=f"{host}:{ui.port}")
        assert (reply.status, reply.headers["x-frame-options"]) == (200, "DENY")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize("port", [80, 5000])
def test_the_port_of_http_is_not_named_in_hosts_and_origins(host: str, port: int) -> None:
    command = server_command("sqlite:///x.db", port)
    name = host if port == 80 else f"{host}:{port}"

    assert name in command[command.index("--allowed-hosts") + 1].split(",")
    assert f"http://{name}" in command[command.index("--cors-allowed-origins") + 1].split(",")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_its_own_pages_may_search_create_and_delete(ui: ServedUi, run: str, host: str) -> None:
    place = f"{host}:{ui.port}"
    sent = {"Host": place, "Origin": f"http://{place}", "Content-Type": "application/json"}
    search = json.dumps({"experiment_ids": [run.split("/")[0]]}).encode()

    found = ui.send("POST", "/ajax-api/2.0/mlflow/runs/search", search, **sent)
    kept = [ui.send(method, f"{ARTIFACTS}/{run}/{host}.txt", b"x", **sent).status for method in ("PUT", "DELETE")]

    assert (found.status, kept) == (200, [200, 200])
    assert [each["info"]["run_id"] for each in found.json()["runs"]] == [run.split("/")[1]]  # pyright: ignore


@pytest.mark.fault("S17")
@pytest.mark.parametrize("origin", ["http://evil.com", "null", "http://localhost.evil.com:PORT", "http://10.evil.com"])
def test_another_web_site_changes_nothing_and_reads_nothing(ui: ServedUi, run: str, origin: str) -> None:
    origin = origin.replace("PORT", str(ui.port))
    assert ui.send("PUT", f"{ARTIFACTS}/{run}/kept.txt", b"kept").status == 200

    for method, path in (
        ("POST", "/api/2.0/mlflow/experiments/create"),
        ("POST", "/ajax-api/2.0/mlflow/runs/delete"),
        ("PATCH", "/api/2.0/mlflow/registered-models/update"),
        ("DELETE", "/api/2.0/mlflow/model-versions/delete"),
        ("PUT", f"{ARTIFACTS}/{run}/kept.txt"),
        ("DELETE", f"{ARTIFACTS}/{run}/kept.txt"),
    ):
        assert ui.send(method, path, b"{}", Origin=origin).status == 403, (method, path)
    assert ui.get(f"{ARTIFACTS}/{run}/kept.txt").body == b"kept"
    assert "access-control-allow-origin" not in ui.get(SEARCH, Origin=origin).headers


@pytest.mark.fault("S18")
def test_whoever_uses_this_machine_may_write_and_delete_as_documented(ui: ServedUi, run: str) -> None:
    assert ui.send("PUT", f"{ARTIFACTS}/{run}/mine.txt", b"x").status == 200
    assert ui.send("DELETE", f"{ARTIFACTS}/{run}/mine.txt").status == 200
    assert ui.get(f"{ARTIFACTS}/{run}/mine.txt").status == 404

    assert "`kindred ui` asks for no password" in (Path(__file__).parents[2] / "infra" / "RUNBOOK.md").read_text()


OUTSIDE = "outside/secret.txt"


@pytest.mark.fault("S19")
@pytest.mark.parametrize(
    "form",
    [
        f"../../../../{OUTSIDE}",
        f"{'..%2f' * 4}outside%2fsecret.txt",
        f"{'%2e%2e/' * 4}{OUTSIDE}",
        f"{'%252e%252e%252f' * 4}outside%252fsecret.txt",
        f"{'..%5c' * 4}outside%5csecret.txt",
        f"{'..;/' * 4}{OUTSIDE}",
        f"x%00/../../../../{OUTSIDE}",
        f"ROOT/{OUTSIDE}",
        f"file://ROOT/{OUTSIDE}",
    ],
)
def test_no_artifact_path_leaves_the_store(ui: ServedUi, run: str, form: str) -> None:
    form, run_id = form.replace("ROOT", str(ui.folder)), run.split("/")[1]
    before = _outside(ui)

    read = [
        ui.get(f"/get-artifact?run_id={run_id}&path={form}"),
        ui.get(f"/ajax-api/2.0/mlflow/get-artifact?run_id={run_id}&path={form}"),
        ui.get(f"{ARTIFACTS}/{run}/{form}"),
    ]
    listed = [
        ui.get(f"{ARTIFACTS}?path={form}"),
        ui.get(f"/api/2.0/mlflow/artifacts/list?run_id={run_id}&path={form}"),
    ]
    written = [ui.send(method, f"{ARTIFACTS}/{run}/{form}", b"evil") for method in ("PUT", "DELETE")]

    assert all(400 <= reply.status < 500 for reply in read)
    assert not any(CANARY.encode() in reply.body for reply in [*read, *listed, *written])
    assert not any(b'"files"' in reply.body for reply in listed)
    assert _outside(ui) == before


def _outside(ui: ServedUi) -> dict[str, str]:
    """Every file that is no artifact and not of the database."""
    files = (path for path in ui.folder.rglob("*") if path.is_file() and ".db" not in path.name)
    return {str(path): path.read_text() for path in files if "mlartifacts" not in path.parts}


@pytest.mark.fault("S19")
@pytest.mark.parametrize(
    "source",
    [
        *("file://ROOT/outside", "file://localhostROOT/outside", "ROOT/outside", "mlflow-artifacts:/../outside"),
        *("mlflow-artifacts:/%2e%2e/outside", "runs:/RUN/../../../outside", "models:/m/../..", "http://127.0.0.1:1/x"),
    ],
)
def test_no_model_comes_from_outside_the_store(ui: ServedUi, run: str, source: str) -> None:
    run_id = run.split("/")[1]
    given = {"name": "m", "source": source.replace("ROOT", str(ui.folder)).replace("RUN", run_id), "run_id": run_id}
    ui.post("/api/2.0/mlflow/registered-models/create", {"name": "m"})

    made = ui.post("/api/2.0/mlflow/model-versions/create", given)

    assert made.status == 400
    assert b"source" in made.body


def test_it_ends_with_its_children(ui: ServedUi) -> None:
    family = ui.family()

    assert len(family) > 1
    assert ui.stop() == 0
    assert not [process for process in family if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
