"""A control store that has gone is noticed; one that answers, or is away for less than the limit, is not."""

import socket
import time

import pytest

from jobs._control_store import ControlStore
from pipeline.errors import ClusterLost


def _call_for(store: ControlStore, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        store()


def test_one_that_has_gone_is_noticed_after_the_limit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = "{}:{}".format(*server.getsockname())
        store = ControlStore(address, limit_s=0.7)
        _call_for(store, 1)

    with pytest.raises(ClusterLost, match=f"answers at {address}"):
        _call_for(store, 10)


def test_one_that_comes_back_within_the_limit_is_no_loss() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        store = ControlStore(f"{host}:{port}", limit_s=1.5)
        _call_for(store, 0.6)
    _call_for(store, 0.6)
    with socket.create_server((host, port)):
        _call_for(store, 1.2)

    assert store.answered == store.asked


def test_a_cluster_that_is_not_there_is_no_endless_wait() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
    with pytest.raises(ClusterLost, match=f"answers at {host}:{port}"):
        ControlStore(f"{host}:{port}", limit_s=0.1).wait()
