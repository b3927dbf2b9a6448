"""A data set behind a real HTTP server: read, cached, shared between processes, and never trusted."""

import copy
import json
import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.download import Retries
from pipeline.data.index import load_index
from pipeline.data.manifest import MANIFEST_NAME, load_manifest, stream_folder
from pipeline.data.place import DatasetUrl, parse_place
from pipeline.data.read import ShardReader
from pipeline.data.remote_dataset import CacheConfig, RemoteShards, connect
from pipeline.data.remote_folder import RemoteFolder
from pipeline.data.verify import verify_dataset
from pipeline.errors import DataError, KindredError, Problems, SecurityError, StorageError, StorageUnavailable
from tests.pipeline.data.faulty_server import FaultyServer, changed, cut, serving, status
from tests.pipeline.data.raw_files_of_a_user import describe, ingest_toy, open_reader, write_raw
from tests.pipeline.data.signed_manifest import signed
from tests.toy_modality import make_codec

FAST = Retries(tries=3, first_wait_s=0.001, longest_wait_s=0.002)
STREAMS = ["imu", "note"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ingested folder with several shards; do not change it."""
    folder = tmp_path_factory.mktemp("remote")
    write_raw(folder / "raw")
    ingest_toy(describe(shard_mib=0.005), folder / "raw", folder / "ds")
    return folder / "ds"


@pytest.fixture
def server(data: Path) -> Iterator[FaultyServer]:
    with serving(data.parent) as running:
        yield running


def connected(server: FaultyServer, cache: Path, *, max_bytes: int = 1 << 30, readers: int = 1) -> RemoteShards:
    place = parse_place(f"{server.url}/ds")
    assert isinstance(place, DatasetUrl)
    remote = RemoteFolder(place, ("127.0.0.1",), io_timeout_s=5.0)
    return connect(remote, CacheConfig(cache, max_bytes, readers), FAST)


def reader_of(source: RemoteShards) -> ShardReader:
    manifest = load_manifest(source.folder)
    codecs = {name: make_codec(name, stream_folder(source.folder, name)) for name in manifest.streams}
    return ShardReader(source, manifest, load_index(source.folder, manifest), codecs)


def failure(server: FaultyServer, cache: Path, **options: int) -> KindredError:
    with pytest.raises(KindredError) as caught:
        connected(server, cache, **options)
    return caught.value


def serve_manifest(server: FaultyServer, folder: Path, **changes: object) -> None:
    """Serve a changed manifest from `folder`."""
    document = json.loads((server.root / "ds" / MANIFEST_NAME).read_text()) | changes
    server.root = folder
    (folder / "ds").mkdir()
    (folder / "ds" / MANIFEST_NAME).write_text(signed(document))


def shard_hits(server: FaultyServer) -> list[str]:
    return [hit for hit in server.hits if "/shards/" in hit]


def test_batches_equal_those_of_the_folder_and_each_shard_travels_once(
    server: FaultyServer, data: Path, tmp_path: Path
) -> None:
    local, index = open_reader(data)
    for _ in range(2):
        with reader_of(connected(server, tmp_path)) as remote:
            for idx in (np.arange(len(index)), np.arange(len(index))[::-1].copy()):
                theirs, ours = local.batch(idx, streams=STREAMS), remote.batch(idx, streams=STREAMS)
                for name in STREAMS:
                    assert theirs.signals[name].values.equal(ours.signals[name].values)

    assert sorted(shard_hits(server)) == sorted(f"/ds/shards/{entry.name}" for entry in load_manifest(data).shards)


def test_nothing_but_small_files_is_fetched_at_opening_and_index_and_fitted_files_only_once(
    server: FaultyServer, data: Path, tmp_path: Path
) -> None:
    connected(server, tmp_path)
    assert shard_hits(server) == []

    server.hits.clear()
    connected(server, tmp_path)
    assert server.hits == ["/ds/manifest.json"]


def test_a_cache_of_one_shard_is_enough(server: FaultyServer, data: Path, tmp_path: Path) -> None:
    largest = max(entry.bytes for entry in load_manifest(data).shards)
    local, index = open_reader(data)
    generator = np.random.default_rng(0)
    with reader_of(connected(server, tmp_path, max_bytes=largest)) as remote:
        for _ in range(20):
            idx = generator.integers(len(index), size=4)
            ours = remote.batch(idx, streams=STREAMS).signals["imu"].values
            assert local.batch(idx, streams=STREAMS).signals["imu"].values.equal(ours)
            assert sum(path.stat().st_size for path in (tmp_path / "shards").iterdir()) <= largest


def test_a_cache_too_small_for_a_shard_of_each_reader_is_refused_at_opening(
    server: FaultyServer, data: Path, tmp_path: Path
) -> None:
    largest = max(entry.bytes for entry in load_manifest(data).shards)

    for options in ({"max_bytes": largest - 1}, {"max_bytes": 2 * largest - 1, "readers": 2}):
        error = failure(server, tmp_path, **options)
        assert isinstance(error, StorageError)
        assert error.code == "STORAGE_CACHE_SMALL"
    assert connected(server, tmp_path, max_bytes=6 * largest, readers=2).max_open == 3


def test_four_processes_cause_one_request(server: FaultyServer, data: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")  # the hard way to start them: a loop of this process is in them
    entry = load_manifest(data).shards[0]
    source = connected(server, tmp_path)
    server.hits.clear()
    with context.Pool(4) as pool:
        found = pool.starmap(_first_bytes, [(source, entry)] * 4, chunksize=1)

    assert len(set(found)) == 1
    assert server.hits == [f"/ds/shards/{entry.name}"]


def _first_bytes(source: RemoteShards, entry: object) -> bytes:
    descriptor = source.open(entry)  # type: ignore[arg-type]
    try:
        return os.pread(descriptor, 64, 0)
    finally:
        os.close(descriptor)


def test_shards_can_be_fetched_ahead_and_by_a_copy(server: FaultyServer, data: Path, tmp_path: Path) -> None:
    shards = load_manifest(data).shards
    source = connected(server, tmp_path)
    source.ensure(shards)
    server.hits.clear()

    for entry in shards:
        os.close(copy.deepcopy(source).open(entry))

    assert server.hits == []


def test_verify_reads_every_shard_and_names_the_ones_that_are_damaged_on_the_server(
    server: FaultyServer, data: Path, tmp_path: Path
) -> None:
    manifest = load_manifest(data)
    verify_dataset(connected(server, tmp_path / "a"), manifest)
    name = manifest.shards[1].name
    server.faults[f"/ds/shards/{name}"] = [changed(lambda payload: payload[:-1] + b"x")] * 3

    with pytest.raises(Problems) as caught:
        verify_dataset(connected(server, tmp_path / "b"), manifest)

    assert [(problem.shard, problem.code) for problem in caught.value.problems] == [(name, "DATA_CHECKSUM")]


def test_verify_does_not_call_data_damaged_that_it_could_not_have(
    server: FaultyServer, data: Path, tmp_path: Path
) -> None:
    manifest = load_manifest(data)
    server.faults[f"/ds/shards/{manifest.shards[0].name}"] = [cut(10)] * 3

    with pytest.raises(StorageUnavailable):
        verify_dataset(connected(server, tmp_path), manifest)


def test_a_damaged_copy_of_the_index_is_fetched_again(server: FaultyServer, tmp_path: Path) -> None:
    source = connected(server, tmp_path)
    whole = (source.folder / "index.parquet").read_bytes()
    (source.folder / "index.parquet").write_bytes(b"damaged")

    folder = connected(server, tmp_path).folder

    assert (folder / "index.parquet").read_bytes() == whole
    assert len(load_index(folder)) > 0


def test_a_missing_data_set_and_a_damaged_manifest_say_what_they_are(server: FaultyServer, tmp_path: Path) -> None:
    server.faults["/ds/manifest.json"] = [status(404)]
    assert "refused: status 404" in str(failure(server, tmp_path))
    server.faults["/ds/manifest.json"] = [status(200)]
    error = failure(server, tmp_path)
    assert isinstance(error, DataError)
    assert error.code == "DATA_MANIFEST"
    assert f"{server.url}/ds/manifest.json" in str(error)


@pytest.mark.parametrize(
    "name", ["streams/imu/a?b", "streams/../x", "index.parquet", "shards/x", "streams/a%2fb", "x\x1b"]
)
def test_fitted_files_with_forbidden_names_are_refused_before_a_request(
    server: FaultyServer, tmp_path: Path, name: str
) -> None:
    streams = json.loads((server.root / "ds" / MANIFEST_NAME).read_text())["streams"]
    streams["imu"]["files"] = {name: "0" * 64}
    served = tmp_path / "served"
    served.mkdir()
    serve_manifest(server, served, streams=streams)

    error = failure(server, tmp_path / "cache")

    assert isinstance(error, SecurityError) or error.code == "DATA_MANIFEST"
    assert server.hits == ["/ds/manifest.json"]


def test_an_index_that_is_not_the_manifests_is_refused(server: FaultyServer, data: Path, tmp_path: Path) -> None:
    served = tmp_path / "served"
    served.mkdir()
    serve_manifest(server, served, index_sha256="0" * 64)
    (served / "ds" / "index.parquet").write_bytes((data / "index.parquet").read_bytes())

    error = failure(server, tmp_path / "cache")

    assert error.code == "DATA_CHECKSUM"
    assert not list((tmp_path / "cache").rglob("index.parquet"))
