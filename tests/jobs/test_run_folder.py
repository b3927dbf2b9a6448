import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs._run_folder import RunFolder, differences, read_json, write_json
from pipeline.errors import ConfigError, OutputError


@pytest.mark.fault("P17")
def test_a_second_process_is_refused_and_told_who_holds_the_run(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from jobs._run_folder import RunFolder\n"
        "with RunFolder(Path(sys.argv[1])).locked(): pass"
    )
    write_json(tmp_path / "tracking" / "sent.json", {"stages": {"run": {"run_id": "a1b2"}, "probe": {"run_id": "c3"}}})
    with RunFolder(tmp_path).locked():
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)

    assert done.returncode != 0
    holder = f"pid {os.getpid()} on {os.uname().nodename}, MLflow run a1b2"
    assert f"OUT_LOCKED: {tmp_path} is in use by {holder}" in done.stderr


@pytest.mark.fault("P18")
def test_the_lock_ends_with_its_holder(tmp_path: Path) -> None:
    code = (
        "import sys, os, signal; from pathlib import Path; from jobs._run_folder import RunFolder\n"
        "with RunFolder(Path(sys.argv[1])).locked(): os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)

    with RunFolder(tmp_path).locked():
        assert (tmp_path / "LOCK").read_text().startswith(f"pid {os.getpid()} ")


@pytest.mark.fault("P18")
@pytest.mark.parametrize("left", ["pid {own} on {host}", "pid 1 on another-host", "\0 torn"])
def test_what_a_lock_file_says_keeps_nobody_out(tmp_path: Path, left: str) -> None:
    (tmp_path / "LOCK").write_text(left.format(own=os.getpid(), host=os.uname().nodename))

    with RunFolder(tmp_path).locked():
        assert (tmp_path / "LOCK").read_text() == f"pid {os.getpid()} on {os.uname().nodename}\n"


@pytest.mark.fault("P19")
def test_a_changed_identity_is_refused_with_the_difference(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.claim("pretrain", {"lr": 2})
    folder.claim("pretrain", {"lr": 1, "model": {"width": 8}})  # nothing was trained yet
    (folder.stage("pretrain") / "checkpoints" / "step-00000002").mkdir(parents=True)
    folder.claim("pretrain", {"lr": 1, "model": {"width": 8}})

    with pytest.raises(ConfigError, match=r"RESUME_CONFIG.*model.width: 8 -> 16.*--fork"):
        folder.claim("pretrain", {"lr": 1, "model": {"width": 16}})


def test_a_folder_that_is_a_file_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")

    with pytest.raises(OutputError, match="OUT_READONLY"), RunFolder(tmp_path / "out").locked():
        pass


def test_damaged_results_are_not_taken_for_missing_ones(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.finish("probe", {"a": 1, "metrics": {}})
    assert folder.result("probe") == {"a": 1, "metrics": {}}

    for damaged in ("{", "{}"):
        (tmp_path / "probe" / "result.json").write_text(damaged)
        with pytest.raises(OutputError, match="OUT_DAMAGED"):
            folder.result("probe")


def test_differences_name_leaves() -> None:
    assert differences({"a": [1], "b": {"c": 1}}, {"a": [2], "b": {"c": 1, "d": None}}) == ["a: [1] -> [2]"]


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000, "\x00"])
def test_damaged_json_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "result.json"
    path.write_text(text)
    with pytest.raises(OutputError, match=f"OUT_DAMAGED.*{path}"):
        read_json(path)


def test_a_json_file_that_cannot_be_written_leaves_the_old_one_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_json(tmp_path / "result.json", {"status": "finished"})

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=rf"No space left on device: '{tmp_path}/result.json'"):
        write_json(tmp_path / "result.json", {"status": "failed"})

    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
    assert read_json(tmp_path / "result.json") == {"status": "finished"}
