"""Which folder of a bucket is a run's, and what is no mirror."""

from pathlib import Path

import pytest

from jobs.configs import PretrainConfig
from jobs.mirror import mirror_of
from pipeline.config import build_config
from pipeline.errors import KindredError
from pipeline.train.mirror_config import MirrorConfig


@pytest.mark.parametrize(
    ("run", "folder"),
    [
        ("walks", "walks"),
        ("walks-longer", "walks-longer"),
        ("датчик #1?%", "%D0%B4%D0%B0%D1%82%D1%87%D0%B8%D0%BA%20%231%3F%25"),
    ],
)
def test_every_run_and_stage_has_a_folder_of_its_own(tmp_path: Path, run: str, folder: str) -> None:
    mirror = mirror_of(MirrorConfig(path="s3://bucket/team"), tmp_path / run / "pretrain", {})

    assert mirror is not None
    assert str(mirror.remote.url) == f"s3://bucket/team/{folder}/pretrain"


def test_without_the_key_there_is_none(tmp_path: Path) -> None:
    assert mirror_of(PretrainConfig().mirror, tmp_path, {}) is None


@pytest.mark.parametrize(
    "path", ["https://host/x", "folder", "/mnt/x", "s3://me:hunter2@bucket/x", "pipe:cat", "file:///x"]
)
def test_only_buckets_can_be_written(path: str) -> None:
    with pytest.raises(KindredError) as caught:
        build_config(PretrainConfig, {"mirror": {"path": path}})

    assert caught.value.exit_code in (64, 77)
    assert "mirror.path" in str(caught.value)
    assert "hunter2" not in str(caught.value)
