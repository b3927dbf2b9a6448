"""The command line as a function: exit codes and messages of bad input."""

import errno
import json
import os
import re
from pathlib import Path

import pytest
import yaml

from jobs.__main__ import main
from tests.contracts.objective_examples import MEMBERS

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests" / "e2e" / "tiny.yaml"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")


def raw_folder(folder: Path, *, rows: str, header: str = "key,person,activity,file") -> None:
    folder.mkdir()
    (folder / "table.csv").write_text(f"{header}\n{rows}")
    steps = "\n".join(f"{i},{i * 2}" for i in range(20))
    for name in ("good.csv", "other.csv"):
        (folder / name).write_text(f"ax,ay\n{steps}\n")
    (folder / "channel.csv").write_text(f"ax,az\n{steps}\n")
    (folder / "latin.csv").write_bytes(b"ax,ay\n1,2\xe9\n")
    (folder / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")


def write_recipe(path: Path, root: Path, **ingest: object) -> None:
    recipe = yaml.safe_load(TINY.read_text())
    described = {
        "records": {"kind": "csv", "path": "table.csv", "key": "key"},
        "streams": {"imu": {"kind": "csv", "path": "{file}", "channels": ["ax", "ay"], "rate_hz": 10}},
        "schemas": {"imu": {"kind": "sensor", "channels": ["ax", "ay"], "rate_hz": 10, "max_steps": 32}},
        "groups": {"person": "person"},
        "labels": {"activity": "activity"},
        "split": {"kind": "values", "group": "person", "test": ["p2"]},
    }
    recipe["data"] = {"root": str(root), "ingest": {**described, **ingest}}
    recipe["streams"] = {"imu": recipe["streams"]["imu"]}
    recipe["subject"] = "person"
    path.write_text(yaml.safe_dump(recipe))


@pytest.mark.fault("P21")
def test_every_mistake_of_a_recipe_is_named_and_the_exit_code_is_64(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(
        ["ingest", str(TINY), "pretrain.epoch=3", "pretrain.batch_size=many", "objectives.0.temperature=-1", "--json"]
    )

    captured = capsys.readouterr()
    assert code == 64
    assert "did you mean 'epochs'?" in captured.err
    assert "pretrain.batch_size: Input should be a valid integer" in captured.err
    assert "objectives.0.temperature: Input should be greater than or equal to 0.01" in captured.err
    assert json.loads(captured.out)["exit_code"] == 64


def test_a_missing_recipe_and_a_missing_folder_are_64(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["ingest", "nowhere.yaml"]) == 64
    assert "no such file: nowhere.yaml" in capsys.readouterr().err
    write_recipe(tmp_path / "r.yaml", tmp_path / "missing")
    assert main(["ingest", "r.yaml", "out=run"]) == 64
    assert "data.root" in capsys.readouterr().err


def test_every_bad_record_is_named_at_once_and_nothing_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "a,p1,walk,good.csv\na,p1,walk,other.csv\nb,p2,run,missing.csv\nc,p1,run,channel.csv\nd,p2,run,latin.csv\n"
    raw_folder(tmp_path / "raw", rows=rows)
    write_recipe(tmp_path / "r.yaml", tmp_path / "raw")

    code = main(["ingest", "r.yaml", "out=run"])

    message = capsys.readouterr().err
    assert code == 65
    for expected in ("DATA_DUPLICATE_KEY", "DATA_MISSING_FILE", "DATA_CHANNELS", "DATA_ENCODING", "missing.csv"):
        assert expected in message
    assert not (tmp_path / "run" / "data").exists()
    assert json.loads((tmp_path / "run" / "result.json").read_text())["status"] == "failed"


def test_a_subject_in_two_splits_is_a_leak(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw_folder(
        tmp_path / "raw",
        header="key,person,activity,file,part",
        rows="a,p1,walk,good.csv,train\nb,p1,run,other.csv,test\n",
    )
    split = {
        "kind": "column",
        "column": "part",
        "values": {"train": ["train"], "test": ["test"]},
        "disjoint": ["person"],
    }
    write_recipe(tmp_path / "r.yaml", tmp_path / "raw", split=split)

    assert main(["ingest", "r.yaml", "out=run"]) == 65
    message = capsys.readouterr().err
    assert "LEAK" in message
    assert "p1" in message


def test_an_empty_split_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw_folder(tmp_path / "raw", rows="a,p1,walk,good.csv\n")
    write_recipe(tmp_path / "r.yaml", tmp_path / "raw")

    assert main(["ingest", "r.yaml", "out=run"]) == 65
    assert "DATA_SPLIT: no record has person ['p2']" in capsys.readouterr().err


def test_a_broken_image_is_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw_folder(tmp_path / "raw", rows="a,p1,walk,photo.png\nb,p2,walk,photo.png\n")
    write_recipe(
        tmp_path / "r.yaml",
        tmp_path / "raw",
        streams={"imu": {"kind": "file", "path": "{file}"}},
        schemas={"imu": {"kind": "image", "height": 8, "width": 8}},
    )

    assert main(["ingest", "r.yaml", "out=run"]) == 65
    message = capsys.readouterr().err
    assert "DATA_IMAGE" in message
    assert "key=a" in message


def test_probing_before_pretraining_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw_folder(tmp_path / "raw", rows="a,p1,walk,good.csv\n")
    write_recipe(tmp_path / "r.yaml", tmp_path / "raw")

    assert main(["probe", "r.yaml", "out=run"]) == 73
    assert "kindred pretrain" in capsys.readouterr().err


def test_usage_errors_are_configuration_errors(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["pretrian"])

    assert caught.value.code == 64
    assert "pretrian" in capsys.readouterr().err


def test_explain_lists_every_objective_with_its_papers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "objectives"]) == 0

    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if "pipeline/objectives/" in line}

    assert set(lines) == {member.model_fields["kind"].default for member in MEMBERS}
    assert re.search(r"relational +2103\.10334 +pooled or memory +links, \(mined\) +1 +- ", lines["relational"])
    assert re.search(r"regularisation +2011\.10566 2006\.07733 +pooled +\(keys\) +2 or 1 +yes ", lines["predictive"])
    assert lines["meta_path"].endswith("pipeline/objectives/meta_path_views.py")


def test_explain_knows_every_key_and_refuses_unknown_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "pretrain.optim"]) == 0
    assert "pretrain.optim.learning_rate" in capsys.readouterr().out
    assert main(["explain", "pretrain.optimiser"]) == 64


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("finetune.percents=[-5]", "finetune.percents.0"),
        ("finetune.percents=[]", "finetune.percents"),
        ("probe.label_percents.0.x=1", "below a plain value"),
        ("streams={}", "streams"),
        ("subsets=[[]]", "subsets.0"),
        ("streams.imu.encoder.strides=[2,1000000]", "field=streams.imu.encoder.strides.1 got=1000000"),
        ("streams.note.encoder.depth=100000000", "field=streams.note.encoder.depth got=100000000"),
        ("streams.photo.encoder.depth=100000000", "field=streams.photo.encoder.depth got=100000000"),
        ("pretrain.threads=100000", "Fix: choose a value <= 1024"),
        ("pretrain.threads=99999999999999999999", "field=pretrain.threads"),
        ('description="\\ud800"', "description holds a NUL character or half a surrogate pair"),
        ("pretrain.gpus=1.5", "whole GPUs"),
        ("pretrain.gpus=inf", "gpus"),
        ("leak.allow=[nope]", "leak.allow names unknown streams"),
        ("leak.allow=[imu,photo,note]", "leak.allow names every stream"),
    ],
)
def test_values_that_would_fail_after_hours_are_refused_at_once(
    override: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(TINY), override]) == 64
    assert message in capsys.readouterr().err


def test_overrides_are_understood_behind_options_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", str(TINY), "--json", "out=nothing", "--fork", "a"]) in {64, 73}
    assert "unrecognized" not in capsys.readouterr().err


def test_downstream_stages_belong_to_their_data_set_seed_and_last_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["pretrain.workers=0", "pretrain.epochs=1", "probe.draws=1", "probe.label_percents=[100]", "out=run"]
    for verb in ("ingest", "pretrain", "probe"):
        assert main([verb, str(TINY), *small]) == 0
    assert main(["ingest", str(TINY), "out=run"]) == 0, "generated files are the same when written again"
    assert main(["ingest", str(TINY), "out=other", "data.generate.seed=9"]) == 0

    for change in ("data.path=other/data", "seed=1"):
        assert main(["probe", str(TINY), *small, change]) == 64
        assert "RESUME_CONFIG" in capsys.readouterr().err

    newest = max((tmp_path / "run/pretrain/checkpoints").glob("step-*"))
    (newest / "model.safetensors").write_bytes(b"damaged")
    for name in ("result.json", "features.parquet"):
        (tmp_path / "run/probe" / name).unlink()
    assert main(["probe", str(TINY), *small]) == 66


def test_a_failure_that_cannot_be_recorded_is_still_the_one_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    raw_folder(tmp_path / "raw", rows="a,p1,walk,good.csv\n")
    write_recipe(tmp_path / "r.yaml", tmp_path / "raw")

    def full(path: Path, value: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr("jobs.run.write_json", full)

    assert main(["ingest", "r.yaml", "out=run", "--json"]) == 65
    captured = capsys.readouterr()
    assert "run does not tell how this ended: No space left on device" in captured.err
    assert "DATA_SPLIT: no record has person ['p2']" in captured.err
    assert json.loads(captured.out)["error"]["code"] == "DATA_SPLIT"
