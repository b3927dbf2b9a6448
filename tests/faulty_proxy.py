"""A TCP proxy on loopback that spoils replies: what a bad network or server does to any protocol.

A request is a chunk that begins like one of HTTP/1.1; a fault takes the connection over from the reply to it on.
"""

import itertools
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

Fault: TypeAlias = Callable[[Iterator[bytes], socket.socket, threading.Event], None]
"""Reads the reply's chunks and sends what it likes to the client; the event ends all waiting."""
_REQUEST = re.compile(rb"(?:GET|HEAD|POST|PUT|PATCH|DELETE) \S+ HTTP/1\.1\r\n")


def cut(limit: int) -> Fault:
    """The reply ends after `limit` bytes; with 0 it is lost."""

    def fault(chunks: Iterator[bytes], client: socket.socket, _over: threading.Event) -> None:
        left = limit
        while left and (chunk := next(chunks, b"")):
            client.sendall(chunk[:left])
            left -= len(chunk[:left])

    return fault


def late(seconds: float) -> Fault:
    """Every chunk comes that much later."""

    def fault(chunks: Iterator[bytes], client: socket.socket, over: threading.Event) -> None:
        for chunk in chunks:
            over.wait(seconds)
            client.sendall(chunk)

    return fault


def trickle(bytes_per_s: float) -> Fault:
    """Byte by byte."""

    def fault(chunks: Iterator[bytes], client: socket.socket, over: threading.Event) -> None:
        for byte in itertools.chain.from_iterable(chunks):
            if over.wait(1 / bytes_per_s):
                return
            client.sendall(bytes([byte]))

    return fault


def silence(_chunks: Iterator[bytes], _client: socket.socket, over: threading.Event) -> None:
    """No reply, and the connection stays open: the server hangs."""
    over.wait()


def reset(_chunks: Iterator[bytes], client: socket.socket, _over: threading.Event) -> None:
    """The connection is reset instead of a reply."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def half_close(_chunks: Iterator[bytes], client: socket.socket, over: threading.Event) -> None:
    """The server's side closes its half without a word and goes on reading."""
    client.shutdown(socket.SHUT_WR)
    over.wait()


def answer(status: int) -> Fault:
    """Another status than the server's."""

    def fault(chunks: Iterator[bytes], client: socket.socket, _over: threading.Event) -> None:
        next(chunks, b"")
        client.sendall(f"HTTP/1.1 {status} Spoilt\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())

    return fault


class FaultyProxy:
    """Passes connections to `target`. The first fault in `once` whose text a request has befalls it, else `always`."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target, self.once = target, list[tuple[str, Fault]]()
        self.always: Fault | None = None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._accept)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        planned = list[Fault]()
        with client:
            try:
                with socket.create_connection(self.target) as server:
                    reader = threading.Thread(target=self._requests, args=(client, server, planned), daemon=True)
                    reader.start()
                    self._replies(server, client, planned)
                    client.shutdown(socket.SHUT_RD)  # a socket that somebody reads from is not closed, nor reset
                    reader.join()
            except OSError:
                return  # one of the two sides has left

    def _requests(self, client: socket.socket, server: socket.socket, planned: list[Fault]) -> None:
        try:
            for chunk in _chunks(client):
                if _REQUEST.match(chunk) and (fault := self._fault_of(chunk)):
                    planned.append(fault)
                server.sendall(chunk)
            server.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def _fault_of(self, request: bytes) -> Fault | None:
        for position, (text, fault) in enumerate(self.once):
            if text.encode() in request:
                del self.once[position]
                return fault
        return self.always

    def _replies(self, server: socket.socket, client: socket.socket, planned: list[Fault]) -> None:
        for chunk in _chunks(server):
            if planned:
                planned.pop()(itertools.chain([chunk], _chunks(server)), client, self.over)
                return
            client.sendall(chunk)


def _chunks(source: socket.socket) -> Iterator[bytes]:
    while chunk := source.recv(1 << 16):
        yield chunk


@contextmanager
def faulty(target: tuple[str, int]) -> Iterator[FaultyProxy]:
    """A proxy that runs in the block."""
    proxy = FaultyProxy(target)
    proxy.thread.start()
    try:
        yield proxy
    finally:
        proxy.over.set()
        proxy.listener.shutdown(socket.SHUT_RDWR)
        proxy.listener.close()
        proxy.thread.join()
