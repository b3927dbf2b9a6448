"""A real HTTP server on loopback that misbehaves as told, and remembers what it was asked."""

import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Fault = Callable[[BaseHTTPRequestHandler, bytes], None]


class FaultyServer(ThreadingHTTPServer):
    """Serves files below `root`. faults: path -> what to do at its next requests, one each; then it serves well."""

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root = root
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        self.hits: list[str] = []
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that leave early are part of the tests."""


@contextmanager
def serving(root: Path) -> Iterator[FaultyServer]:
    server = FaultyServer(root)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FaultyServer

    def do_GET(self) -> None:
        self.server.hits.append(self.path)
        faults = self.server.faults[self.path]
        path = self.server.root / self.path.lstrip("/")
        if faults:
            faults.pop(0)(self, path.read_bytes() if path.is_file() else b"")
        elif path.is_file():
            reply(self, path.read_bytes())
        else:
            self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        pass


def reply(handler: BaseHTTPRequestHandler, payload: bytes, *, length: int | None = None) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(payload) if length is None else length))
    handler.end_headers()
    handler.wfile.write(payload)


def status(code: int, **headers: str) -> Fault:
    def fault(handler: BaseHTTPRequestHandler, payload: bytes) -> None:
        handler.send_response(code)
        for name, value in {"Content-Length": "0", **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()

    return fault


def cut(at: int) -> Fault:
    """The connection ends after `at` bytes of the body."""

    def fault(handler: BaseHTTPRequestHandler, payload: bytes) -> None:
        reply(handler, payload[:at], length=len(payload))
        hang_up(handler, payload)

    return fault


def cut_without_length(at: int) -> Fault:
    """The same from a server that marks the end by closing: nothing in the protocol tells."""

    def fault(handler: BaseHTTPRequestHandler, payload: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(payload[:at])
        handler.close_connection = True

    return fault


def changed(change: Callable[[bytes], bytes]) -> Fault:
    """Another body, well transferred."""
    return lambda handler, payload: reply(handler, change(payload))


def hang_up(handler: BaseHTTPRequestHandler, payload: bytes) -> None:
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def stall(handler: BaseHTTPRequestHandler, payload: bytes) -> None:
    """Half the body, then nothing until the test ends."""
    reply(handler, payload[: len(payload) // 2], length=len(payload))
    handler.wfile.flush()
    handler.server.closing.wait()  # type: ignore[attr-defined]


def drip(handler: BaseHTTPRequestHandler, payload: bytes) -> None:
    """A byte now and then."""
    reply(handler, b"", length=len(payload))
    for number in range(len(payload)):
        if handler.server.closing.wait(0.02):  # type: ignore[attr-defined]
            return
        handler.wfile.write(payload[number : number + 1])
