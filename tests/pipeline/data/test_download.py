"""Transfers from a real HTTP server that fails in every way: the right bytes or a typed error, nothing else."""

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.download import Expected, Retries, download
from pipeline.data.place import DatasetUrl, parse_place
from pipeline.data.remote_folder import RemoteFolder
from pipeline.errors import DataError, KindredError, StorageError, StorageUnavailable
from tests.pipeline.data.faulty_server import (
    Fault,
    FaultyServer,
    changed,
    cut,
    cut_without_length,
    drip,
    hang_up,
    serving,
    stall,
    status,
)

PAYLOAD = np.random.default_rng(0).bytes(3000)
EXPECTED = Expected(len(PAYLOAD), len(PAYLOAD), hashlib.sha256(PAYLOAD).hexdigest(), "shard-00000.tar")
NAME, PATH = "shards/shard-00000.tar", "/ds/shards/shard-00000.tar"
FAST = Retries(tries=3, first_wait_s=0.001, longest_wait_s=0.002)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyServer]:
    root = tmp_path_factory.mktemp("served")
    (root / "ds" / "shards").mkdir(parents=True)
    (root / "ds" / NAME).write_bytes(PAYLOAD)
    with serving(root) as running:
        yield running


def remote(server: FaultyServer, *, io_timeout_s: float = 5.0) -> RemoteFolder:
    place = parse_place(f"{server.url}/ds")
    assert isinstance(place, DatasetUrl)
    return RemoteFolder(place, ("127.0.0.1",), io_timeout_s=io_timeout_s)


def fetch(server: FaultyServer, *faults: Fault, folder: RemoteFolder | None = None) -> bytes:
    server.faults[PATH] = list(faults)
    server.hits.clear()
    target = io.BytesIO()
    download(folder or remote(server), NAME, target, EXPECTED, FAST)
    return target.getvalue()


def failure(server: FaultyServer, *faults: Fault, folder: RemoteFolder | None = None) -> KindredError:
    with pytest.raises(KindredError) as caught:
        fetch(server, *faults, folder=folder)
    assert caught.value.shard == "shard-00000.tar"
    assert f"{server.url}{PATH}" in str(caught.value)
    return caught.value


def flip(payload: bytes) -> bytes:
    return payload[:100] + bytes([payload[100] ^ 1]) + payload[101:]


PASSING = {
    "cut": cut(1000),
    "cut without a length": cut_without_length(1000),
    "hang up": hang_up,
    "error 500": status(500),
    "error 503": status(503),
    "too many requests": status(429),
    "another byte": changed(flip),
    "too short": changed(lambda payload: payload[:-1]),
    "too long": changed(lambda payload: payload + b"x"),
    "empty": changed(lambda payload: b""),
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_a_passing_fault_is_tried_again(server: FaultyServer, fault: Fault) -> None:
    assert fetch(server, fault, fault) == PAYLOAD
    assert len(server.hits) == 3


@pytest.mark.parametrize("name", ["cut", "hang up", "error 500", "error 503", "too many requests"])
def test_a_server_that_stays_broken_is_worth_another_command(server: FaultyServer, name: str) -> None:
    error = failure(server, *[PASSING[name]] * 6)

    assert isinstance(error, StorageUnavailable)
    assert error.exit_code == 75
    assert "3 tries" in str(error)
    assert 3 <= len(server.hits) <= 6  # aiohttp asks once more where a kept connection was closed


@pytest.mark.fault("D34")
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("cut without a length", "DATA_TRUNCATED"),
        ("too short", "DATA_TRUNCATED"),
        ("empty", "DATA_TRUNCATED"),
        ("too long", "DATA_TOO_LARGE"),
        ("another byte", "DATA_CHECKSUM"),
    ],
)
def test_a_file_that_stays_wrong_is_damaged_data(server: FaultyServer, name: str, code: str) -> None:
    error = failure(server, *[PASSING[name]] * 3)

    assert isinstance(error, DataError)
    assert (error.code, error.exit_code) == (code, 65)
    assert error.expected is not None
    assert error.got is not None


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410])
def test_a_refusal_is_not_asked_again(server: FaultyServer, code: int) -> None:
    error = failure(server, status(code))

    assert type(error) is StorageError
    assert error.exit_code == 74
    assert f"status {code}" in str(error)
    assert len(server.hits) == 1


@pytest.mark.fault("D33")
@pytest.mark.parametrize("fault", [stall, drip])
def test_bytes_that_stop_or_trickle_are_a_stall(server: FaultyServer, fault: Fault) -> None:
    error = failure(server, *[fault] * 3, folder=remote(server, io_timeout_s=0.2))

    assert isinstance(error, StorageUnavailable)
    assert "nothing arrived in time" in str(error) or "stalled" in str(error)
    assert fetch(server, fault, folder=remote(server, io_timeout_s=0.2)) == PAYLOAD


@pytest.mark.fault("D34")
def test_none_of_200_cut_transfers_is_silent(server: FaultyServer) -> None:
    folder, generator = remote(server), np.random.default_rng(1)
    for number in range(200):
        at = int(generator.integers(len(PAYLOAD)))
        broken = (cut if number % 2 else cut_without_length)(at)
        if number % 4 < 2:
            assert fetch(server, broken, folder=folder) == PAYLOAD
            assert len(server.hits) == 2
        else:
            failure(server, broken, broken, broken, folder=folder)


def test_a_server_that_is_not_there_is_unavailable(server: FaultyServer, tmp_path: Path) -> None:
    with serving(tmp_path) as gone:
        folder = remote(gone)

    with pytest.raises(StorageUnavailable):
        download(folder, NAME, io.BytesIO(), EXPECTED, FAST)


def test_no_more_is_read_than_the_file_may_hold(server: FaultyServer) -> None:
    target = io.BytesIO()
    server.faults[PATH] = [changed(lambda payload: payload * 1000)] * 3

    with pytest.raises(DataError):
        download(remote(server), NAME, target, EXPECTED, FAST)

    assert len(target.getvalue()) <= len(PAYLOAD)


def test_compressed_replies_are_taken_as_they_are(server: FaultyServer) -> None:
    """A decompressing client would turn kilobytes into gigabytes before any check."""
    error = failure(server, *[status(200, **{"Content-Encoding": "gzip"})] * 3)

    assert error.code == "DATA_TRUNCATED"


@given(st.integers(1, 40), st.floats(0.001, 10), st.floats(0.001, 100))
def test_waits_double_up_to_their_limit_with_jitter(failures: int, first: float, longest: float) -> None:
    wait = Retries(first_wait_s=first, longest_wait_s=longest).wait_s(failures)

    assert min(longest, first * 2 ** (failures - 1)) / 2 <= wait <= longest
