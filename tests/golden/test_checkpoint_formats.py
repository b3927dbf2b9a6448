"""A checkpoint of every format version there ever was loads to the state it was written with, and trains on."""

import json
import shutil
from pathlib import Path

import pytest

from pipeline.digest import canonical_json, sha256
from pipeline.errors import CheckpointError
from pipeline.train.checkpoint import FORMAT, read_checkpoint
from pipeline.train.loop import run_fit
from tests.golden.golden_run import HASH_NAME, golden_fit, restored

HERE = Path(__file__).parent


def _copied(folder: Path, version: int) -> Path:
    shutil.copytree(HERE / f"format-{version}", folder / "run")
    return folder / "run"


@pytest.mark.fault("P24")
@pytest.mark.parametrize("version", range(1, FORMAT + 1))
def test_every_format_loads_bit_for_bit_and_trains_on(tmp_path: Path, version: int) -> None:
    folder = _copied(tmp_path, version)
    expected = json.loads((folder / HASH_NAME).read_text())

    assert restored(golden_fit(folder)).hash() == expected["sha256"]
    fit = golden_fit(folder)
    assert run_fit(fit).steps == 20
    assert fit.run.points[0][0] == expected["step"] + 1  # type: ignore[attr-defined]


@pytest.mark.fault("P24")
@pytest.mark.parametrize("version", [0, FORMAT + 1, None])
def test_a_format_of_another_version_says_how_to_go_on(tmp_path: Path, version: int | None) -> None:
    (folder,) = _copied(tmp_path, FORMAT).glob("step-*")
    body = json.loads((folder / "MANIFEST.json").read_bytes())
    del body["sha256"]
    body["format"] = version
    (folder / "MANIFEST.json").write_bytes(canonical_json({**body, "sha256": sha256(canonical_json(body))}))

    with pytest.raises(CheckpointError, match="CKPT_FORMAT") as caught:
        read_checkpoint(folder)

    assert caught.value.exit_code == 66
    assert (caught.value.expected, caught.value.got) == (FORMAT, version)
    assert "--fork NAME" in caught.value.fix
