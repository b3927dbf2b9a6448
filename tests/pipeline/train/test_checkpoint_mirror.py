"""Checkpoints in a bucket of a real S3 protocol server: whole or absent, verified, fenced by attempt."""

from pathlib import Path

import pytest

from pipeline.data.place import DatasetUrl
from pipeline.data.remote_folder import RemoteFolder
from pipeline.errors import CheckpointError, Fenced, SecurityError, StorageError, StorageUnavailable
from pipeline.train.checkpoint_mirror import CheckpointMirror
from pipeline.train.checkpoint_store import CheckpointStore
from pipeline.train.mirror_resume import fetch_newest
from tests.faulty_proxy import FaultyProxy, answer, cut, reset
from tests.pipeline.train.mirrored import IDENTITY, mirror_at, save, store_at
from tests.s3_server import S3Server


@pytest.fixture
def mirror(s3: S3Server, place: str) -> CheckpointMirror:
    made = mirror_at(s3.url, place)
    made.begin_attempt()
    return made


def upload(mirror: CheckpointMirror, folder: Path, *steps: int) -> None:
    store = store_at(folder)
    for step in steps:
        mirror.upload(save(store, step))


def fetched(mirror: CheckpointMirror, folder: Path) -> CheckpointStore:
    """A new machine."""
    store = CheckpointStore(folder)
    fetch_newest(store, mirror, lambda checkpoint: None)
    return store


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_new_machine_gets_the_newest_byte_for_byte(
    s3: S3Server, place: str, mirror: CheckpointMirror, tmp_path: Path
) -> None:
    upload(mirror, tmp_path / "old", 1, 2, 3)

    store = fetched(mirror_at(s3.url, place), tmp_path / "new")

    assert store.steps() == [3]
    assert contents(tmp_path / "new" / "step-00000003") == contents(tmp_path / "old" / "step-00000003")


def test_two_remain_and_what_others_keep_there_is_left(
    s3: S3Server, place: str, mirror: CheckpointMirror, tmp_path: Path
) -> None:
    for name in ("notes.txt", "attempt-1/step-00000001/MANIFEST.json", "step-00000001/model.safetensors"):
        s3.client.put_object(Bucket="bucket", Key=f"{place}/{name}", Body=b"mine")
    upload(mirror, tmp_path / "first", 1)
    again = mirror_at(s3.url, place)
    again.begin_attempt()
    upload(again, tmp_path / "second", 2)

    assert [found.step for found in again.checkpoints()] == [2, 1]
    upload(again, tmp_path / "second", 3, 4)

    assert [found.step for found in again.checkpoints()] == [4, 3]
    foreign = [name for name in s3.names(f"{place}/") if f"/{again.attempt}/" not in name]
    assert foreign == [
        f"{place}/{name}"
        for name in ("attempt-1/step-00000001/MANIFEST.json", "notes.txt", "step-00000001/model.safetensors")
    ]


def test_a_damaged_copy_is_skipped_for_the_one_before(
    s3: S3Server, place: str, mirror: CheckpointMirror, tmp_path: Path
) -> None:
    upload(mirror, tmp_path / "old", 1, 2)
    reader = mirror_at(s3.url, place)
    for number, path in enumerate(sorted((tmp_path / "old" / "step-00000002").iterdir()) * 3):
        key = {"Bucket": "bucket", "Key": f"{place}/{mirror.attempt}/step-00000002/{path.name}"}
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        if number < 6:
            s3.client.put_object(**key, Body=bytes(content if number < 3 else content[:-1]))
        else:
            s3.client.delete_object(**key)

        assert fetched(reader, tmp_path / f"new-{number}").steps() == [1]
        s3.client.put_object(**key, Body=path.read_bytes())
    assert fetched(reader, tmp_path / "new").steps() == [2]


def test_without_a_valid_copy_nothing_starts_anew(
    s3: S3Server, place: str, mirror: CheckpointMirror, tmp_path: Path
) -> None:
    upload(mirror, tmp_path / "old", 1, 2)
    for name in s3.names(f"{place}/{mirror.attempt}/step"):
        s3.client.put_object(Bucket="bucket", Key=name, Body=b"{}")

    with pytest.raises(CheckpointError, match="CKPT_NONE_VALID") as caught:
        fetched(mirror_at(s3.url, place), tmp_path / "new")
    assert caught.value.exit_code == 66
    assert CheckpointStore(tmp_path / "new").steps() == []


@pytest.mark.parametrize("broken", ["model.safetensors", "MANIFEST.json"])
def test_an_upload_that_breaks_off_is_no_checkpoint_and_can_be_repeated(
    s3: S3Server, place: str, proxy: FaultyProxy, tmp_path: Path, broken: str
) -> None:
    mirror = mirror_at(proxy.url, place)
    mirror.begin_attempt()
    upload(mirror, tmp_path / "old", 1)
    proxy.once = [(f"step-00000002/{broken}", answer(500))] * 2

    with pytest.raises(StorageUnavailable, match="STORAGE_UNAVAILABLE") as caught:
        upload(mirror, tmp_path / "old", 2)

    assert caught.value.exit_code == 75
    assert proxy.once == []
    if broken != "MANIFEST.json":  # the server got that one, and the reply was lost
        assert [found.step for found in mirror.checkpoints()] == [1]
    mirror.upload(tmp_path / "old" / "step-00000002")
    assert [found.step for found in mirror.checkpoints()] == [2, 1]


def test_a_broken_download_is_asked_again_and_an_unavailable_mirror_is_no_fresh_start(
    s3: S3Server, place: str, mirror: CheckpointMirror, proxy: FaultyProxy, tmp_path: Path
) -> None:
    upload(mirror, tmp_path / "old", 1)
    proxy.once = [("step-00000001/model", cut(700))]
    assert fetched(mirror_at(proxy.url, place), tmp_path / "new").steps() == [1]
    assert proxy.once == []

    proxy.once = [("step-00000001/model", cut(700))] * 2
    with pytest.raises(StorageUnavailable):
        fetched(mirror_at(proxy.url, place), tmp_path / "third")
    proxy.always = reset
    with pytest.raises(StorageUnavailable):
        fetched(mirror_at(proxy.url, place), tmp_path / "fourth")


def test_a_replaced_attempt_completes_nothing_and_takes_nothing_away(
    s3: S3Server, place: str, mirror: CheckpointMirror, tmp_path: Path
) -> None:
    upload(mirror, tmp_path / "old", 1, 2)
    newer = mirror_at(s3.url, place)
    upload_from = fetched(newer, tmp_path / "new")
    newer.upload(save(upload_from, 3))
    before = s3.names(f"{place}/{newer.attempt}/")

    with pytest.raises(Fenced) as caught:
        upload(mirror, tmp_path / "old", 5)
    mirror._prune()  # as if the newer one had begun after the fence was looked at

    assert caught.value.exit_code == 75
    assert s3.names(f"{place}/{newer.attempt}/") == before
    assert 5 not in {found.step for found in newer.checkpoints()}


def test_a_store_that_has_as_new_a_checkpoint_fetches_none(
    s3: S3Server, place: str, mirror: CheckpointMirror, tmp_path: Path
) -> None:
    upload(mirror, tmp_path / "old", 1, 2)

    assert fetched(mirror_at(s3.url, place), tmp_path / "old").steps() == [1, 2]
    for step in (1, 2):
        (tmp_path / "old" / f"step-{step:08d}" / "model.safetensors").write_bytes(b"")
    newest = fetched(mirror_at(s3.url, place), tmp_path / "old").newest()

    assert newest is not None
    assert newest.step == 2


def test_the_mirror_of_another_run_is_refused_and_left_alone(
    s3: S3Server, place: str, mirror: CheckpointMirror, tmp_path: Path
) -> None:
    upload(mirror, tmp_path / "old", 1)
    before = s3.names(f"{place}/")

    with pytest.raises(CheckpointError, match="CKPT_MIXED") as caught:
        mirror_at(s3.url, place, {"seed": 1}).begin_attempt()

    assert caught.value.field == "mirror.path"
    assert s3.names(f"{place}/") == before


def test_a_copy_of_another_run_is_not_used(s3: S3Server, place: str, tmp_path: Path) -> None:
    mirror = mirror_at(s3.url, place, {"seed": 1})
    mirror.begin_attempt()
    upload(mirror, tmp_path / "old", 1)  # says seed 0

    with pytest.raises(CheckpointError, match="CKPT_NONE_VALID"):
        fetched(mirror_at(s3.url, place, {"seed": 1}), tmp_path / "new")


def test_hosts_must_be_named_and_a_missing_bucket_is_refused(s3: S3Server) -> None:
    with pytest.raises(SecurityError) as caught:
        RemoteFolder(DatasetUrl("s3", "bucket", None, ""), (), s3.url, section="mirror").names()
    assert caught.value.field == "mirror.allowed_hosts"
    nowhere = RemoteFolder(DatasetUrl("s3", "nowhere", None, "/x"), ("127.0.0.1",), s3.url)

    with pytest.raises(StorageError, match="STORAGE_REFUSED") as refused:
        CheckpointMirror(nowhere, IDENTITY).begin_attempt()
    assert refused.value.exit_code == 74
