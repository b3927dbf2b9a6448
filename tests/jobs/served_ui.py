"""A real `kindred ui` on an MLflow store, and raw requests to it: headers and paths go out as they are."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.free_port import free_port

SERVE = "import sys; from jobs.ui import serve; serve(int(sys.argv[1]), sys.argv[2])"


@dataclass(frozen=True)
class Reply:
    """Of one request."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, dict[str, str]]:
        return json.loads(self.body)


class ServedUi:
    """`folder` is its working folder."""

    def __init__(self, folder: Path, store: str) -> None:
        self.port, self.folder = free_port(), folder
        environment = {**os.environ, "PYTHONPATH": os.getcwd()}
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(self.port), store], cwd=folder, env=environment, start_new_session=True
        )

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 120
        while True:
            try:
                assert self.get("/health").status == 200
                return
            except ConnectionError:
                assert self.process.poll() is None, "the server ended"
                assert time.monotonic() < deadline
                time.sleep(0.1)

    def get(self, path: str, **headers: str) -> Reply:
        return self.send("GET", path, **headers)

    def post(self, path: str, document: object) -> Reply:
        return self.send("POST", path, json.dumps(document).encode(), **{"Content-Type": "application/json"})

    def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
        """Host is this server's unless `headers` names another."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.putrequest(method, path, skip_host="Host" in headers)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            reply = connection.getresponse()
            return Reply(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())
        finally:
            connection.close()

    def family(self) -> list[psutil.Process]:
        """Every process it consists of."""
        own = psutil.Process(self.process.pid)
        return [own, *own.children(recursive=True)]

    def stop(self) -> int:
        """Ctrl-C, and its exit code."""
        os.kill(self.process.pid, signal.SIGINT)
        return self.process.wait(60)


def listening(processes: list[psutil.Process]) -> set[tuple[str, int]]:
    """(address, port) of every socket on which one of them accepts connections."""
    found = set()
    for process in processes:
        for connection in process.net_connections(kind="inet"):
            if connection.status == psutil.CONN_LISTEN:
                found.add((connection.laddr.ip, connection.laddr.port))
    return found
