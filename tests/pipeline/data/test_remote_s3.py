"""A data set in a bucket of a real S3 protocol server on loopback."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.download import Retries
from pipeline.data.index import load_index
from pipeline.data.manifest import load_manifest, stream_folder
from pipeline.data.place import DatasetUrl, parse_place
from pipeline.data.read import ShardReader
from pipeline.data.remote_dataset import CacheConfig, RemoteShards, connect
from pipeline.data.remote_folder import RemoteFolder
from pipeline.errors import SecurityError, StorageError, StorageUnavailable
from tests.faulty_proxy import FaultyProxy, cut, faulty
from tests.pipeline.data.raw_files_of_a_user import describe, ingest_toy, open_reader, write_raw
from tests.s3_server import CREDENTIALS, s3_server
from tests.toy_modality import make_codec

FAST = Retries(tries=3, first_wait_s=0.001, longest_wait_s=0.002)


@dataclass(frozen=True)
class Bucket:
    """The server's address and a folder equal to what is in s3://bucket/ds."""

    port: int
    folder: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    folder = tmp_path_factory.mktemp("s3")
    write_raw(folder / "raw")
    ingest_toy(describe(shard_mib=0.005), folder / "raw", folder / "ds")
    with s3_server() as server:
        made = Bucket(server.port, folder / "ds")
        for path in made.folder.rglob("*"):
            if path.is_file():
                server.client.upload_file(str(path), "bucket", f"ds/{path.relative_to(made.folder)}")
        yield made


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def proxy(bucket: Bucket) -> Iterator[FaultyProxy]:
    with faulty(("127.0.0.1", bucket.port)) as running:
        yield running


def remote(endpoint: str | None, *allowed: str, url: str = "s3://bucket/ds") -> RemoteFolder:
    place = parse_place(url)
    assert isinstance(place, DatasetUrl)
    return RemoteFolder(place, allowed, endpoint, io_timeout_s=5.0)


def connected(endpoint: str, cache: Path, url: str = "s3://bucket/ds") -> RemoteShards:
    return connect(remote(endpoint, "127.0.0.1", url=url), CacheConfig(cache, 1 << 30), FAST)


def test_batches_equal_those_of_the_folder(bucket: Bucket, tmp_path: Path) -> None:
    source = connected(bucket.url, tmp_path)
    local, index = open_reader(bucket.folder)
    manifest = load_manifest(source.folder)
    codecs = {name: make_codec(name, stream_folder(source.folder, name)) for name in manifest.streams}
    with ShardReader(source, manifest, load_index(source.folder, manifest), codecs) as reader:
        idx = np.random.default_rng(0).permutation(len(index))
        ours, theirs = (r.batch(idx, streams=["imu", "note"]) for r in (reader, local))

    assert ours.signals["imu"].values.equal(theirs.signals["imu"].values)
    assert ours.signals["note"].values.equal(theirs.signals["note"].values)


def test_replies_that_break_off_are_asked_again(bucket: Bucket, proxy: FaultyProxy, tmp_path: Path) -> None:
    source = connected(proxy.url, tmp_path)
    for number, entry in enumerate(load_manifest(bucket.folder).shards):
        folder = remote(proxy.url, "127.0.0.1")
        proxy.once = [("GET", cut(100 + number * 500)), ("GET", cut(1000))]
        spoilt = RemoteShards(folder, source.folder, source.cache, max_open=1, retries=FAST)
        spoilt.ensure([entry])
        assert proxy.once == []
        cached = tmp_path / "shards" / f"{entry.sha256}.tar"
        assert cached.read_bytes() == (bucket.folder / "shards" / entry.name).read_bytes()


def test_replies_that_always_break_off_are_unavailable_and_leave_nothing(
    bucket: Bucket, proxy: FaultyProxy, tmp_path: Path
) -> None:
    source = connected(bucket.url, tmp_path)
    folder, entry = remote(proxy.url, "127.0.0.1"), load_manifest(bucket.folder).shards[0]
    proxy.always = cut(2000)

    with pytest.raises(StorageUnavailable) as caught:
        RemoteShards(folder, source.folder, source.cache, max_open=1, retries=FAST).open(entry)

    assert caught.value.shard == entry.name
    assert "s3://bucket/ds/shards/" in str(caught.value)
    assert {path.name for path in (tmp_path / "shards").iterdir()} <= {"lock"}


@pytest.mark.parametrize("url", ["s3://bucket/elsewhere", "s3://nobody/ds"])
def test_what_is_not_there_is_refused_at_once(bucket: Bucket, tmp_path: Path, url: str) -> None:
    with pytest.raises(StorageError) as caught:
        connected(bucket.url, tmp_path, url)

    assert caught.value.exit_code == 74
    assert "status 404" in str(caught.value)


def test_the_endpoint_is_a_host_that_must_be_allowed(bucket: Bucket) -> None:
    named = bucket.url.replace("127.0.0.1", "localhost")

    for endpoint, allowed in ((bucket.url, ()), (bucket.url, ("localhost",)), (named, ()), (named, ("127.0.0.1",))):
        with pytest.raises(SecurityError):
            remote(endpoint, *allowed).open("manifest.json")
    assert remote(named, "localhost").open("manifest.json").read(1) == b"{"


def test_proxies_and_endpoints_of_the_environment_are_ignored(
    bucket: Bucket, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.setenv(name, proxy.url)
    proxy.cuts = [0]

    assert remote(bucket.url, "127.0.0.1").open("manifest.json").read(1) == b"{"
    assert proxy.cuts == [0]
