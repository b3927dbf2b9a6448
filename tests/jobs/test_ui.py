import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from jobs._delivery import spool_path
from jobs._tracking import RunIdentity, write_header
from jobs.sync import sync
from jobs.ui import serve
from pipeline.errors import EnvironmentFault
from pipeline.tracking import Spool

SERVE = "import sys; from jobs.ui import serve; serve(int(sys.argv[1]), sys.argv[2])"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answer(
    port: int, path: str, *, alive: subprocess.Popen[bytes], host: str | None = None
) -> tuple[int, dict[str, str]]:
    """Status and headers of a GET request; waits for the server to come up."""
    headers = {} if host is None else {"Host": host}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return reply.status, dict(reply.headers)
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers)
        except urllib.error.URLError:
            with pytest.raises(subprocess.TimeoutExpired):
                alive.wait(0.2)


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


def test_the_server_answers_only_this_machine_and_ends_with_its_children(tmp_path: Path, store_uri: str) -> None:
    port = free_port()
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    command = [sys.executable, "-c", SERVE, str(port), store_uri]
    with subprocess.Popen(command, cwd=tmp_path, env=environment) as ui:
        try:
            status, headers = answer(port, "/health", alive=ui)
            family = psutil.Process(ui.pid).children(recursive=True)
            write_header(tmp_path / "out", RunIdentity("project", "demo", "k", {}), uri=store_uri)
            (tmp_path / "a.txt").write_text("hello")
            spool = Spool(spool_path(tmp_path / "out", "pretrain"))
            spool.metrics({"loss": 1.0}, 1)
            spool.artifact(tmp_path / "a.txt", "figures/a.txt")
            sent = [sync(tmp_path / "out", f"http://127.0.0.1:{port}")["points"] for _ in range(2)]
            hosts = ("evil.example", f"127.evil.com:{port}", "10.evil.com")
            foreign = [answer(port, "/", alive=ui, host=host)[0] for host in hosts]
        finally:
            os.kill(ui.pid, signal.SIGINT)
        code = ui.wait(30)

    assert status == 200
    assert headers["x-frame-options"] == "DENY"
    assert foreign == [403, 403, 403]
    assert sent == [1, 1]
    assert [path.read_text() for path in (tmp_path / "mlartifacts").rglob("a.txt")] == ["hello"]
    assert code == 0
    assert family
    assert not [process for process in family if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
