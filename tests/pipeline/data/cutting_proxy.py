"""A TCP proxy on loopback that breaks replies off: what a bad network does to any protocol."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class CuttingProxy:
    """Passes connections to `target`; each of the next replies in `cuts` ends after that many bytes."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target, self.cuts = target, list[int]()
        self.listener = socket.create_server(("127.0.0.1", 0))
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
        with client, socket.create_connection(self.target) as server:
            threading.Thread(target=_pump, args=(client, server, None), daemon=True).start()
            _pump(server, client, self.cuts.pop(0) if self.cuts else None)


def _pump(source: socket.socket, sink: socket.socket, limit: int | None) -> None:
    passed = 0
    try:
        while chunk := source.recv(1 << 16):
            chunk = chunk if limit is None else chunk[: limit - passed]
            sink.sendall(chunk)
            passed += len(chunk)
            if passed == limit:
                break
        for end in (source, sink):
            end.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the other side has left


@contextmanager
def cutting(target: tuple[str, int]) -> Iterator[CuttingProxy]:
    proxy = CuttingProxy(target)
    proxy.thread.start()
    try:
        yield proxy
    finally:
        proxy.listener.shutdown(socket.SHUT_RDWR)
        proxy.listener.close()
        proxy.thread.join()
