"""kindred ui: the MLflow UI of this machine's runs, on loopback only."""

import logging
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from jobs._mlflow import CLIENT_ENVIRONMENT, artifact_folder, prepare_sqlite, sqlite_path, tracking_uri
from pipeline.credentials import redact
from pipeline.errors import EnvironmentFault

HOST, STOP_S = "127.0.0.1", 10
HTTP_PORT = 80  # the one that browsers and clients do not name
_log = logging.getLogger(__name__)


def serve(port: int, uri: str | None = None) -> None:
    """Serve until SIGINT or SIGTERM; then the server and its children are gone.

    Where runs go to a server already, only says so. Raises EnvironmentFault for a port in use or a failing server.
    """
    place = tracking_uri(uri)
    if urlsplit(place).scheme in {"http", "https"}:
        _log.info("runs are tracked by the server at %s", redact(place))
        return
    _require_free(port)
    if path := sqlite_path(place):
        prepare_sqlite(path)
    environment = {**os.environ, **CLIENT_ENVIRONMENT, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    command = server_command(place, port)
    server = subprocess.Popen(command, env=environment, start_new_session=True, cwd=Path.cwd())
    _log.info("MLflow UI of %s: http://%s:%d (Ctrl-C stops it)", redact(place), HOST, port)
    _wait(server, port)


def server_command(uri: str, port: int) -> list[str]:
    """The command line: loopback, one worker, exact host names against DNS rebinding, no framing."""
    hosts = [name if port == HTTP_PORT else f"{name}:{port}" for name in ("localhost", HOST)]
    folder = artifact_folder(uri)
    artifacts = [] if folder is None else ["--artifacts-destination", str(folder)]
    return [
        *(sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, *artifacts),
        *("--host", HOST, "--port", str(port), "--workers", "1"),
        *("--allowed-hosts", ",".join(hosts)),
        *("--cors-allowed-origins", ",".join(f"http://{host}" for host in hosts)),
        *("--x-frame-options", "DENY"),
    ]


def _wait(server: subprocess.Popen[bytes], port: int) -> None:
    received: list[int] = []
    earlier = {
        number: signal.signal(number, lambda number, _: (received.append(number), _stop(server)))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        code = server.wait()
    finally:
        _kill_rest(server)
        for number, handler in earlier.items():
            signal.signal(number, handler)
    if not received:
        raise EnvironmentFault(
            f"the MLflow server ended with code {code}",
            code="ENV_UI",
            field=f"port {port}",
            fix="see its messages above",
        )


def _stop(server: subprocess.Popen[bytes]) -> None:
    if server.poll() is None:
        os.killpg(server.pid, signal.SIGTERM)


def _kill_rest(server: subprocess.Popen[bytes]) -> None:
    """The server's session is its own: whoever is left in it is one of its children."""
    try:
        server.wait(STOP_S)
    except subprocess.TimeoutExpired:
        _log.warning("the MLflow server did not stop within %d s, it is killed", STOP_S)
    try:
        os.killpg(server.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise EnvironmentFault(
                f"port {port} of this machine is not free: {error}",
                code="ENV_PORT",
                field="--port",
                got=port,
                fix="stop what uses it or choose another: kindred ui --port N",
            ) from error
