"""`kindred study` as it is typed: in one process and on Ray Tune, killed, typed again, with a variant that fails."""

import contextlib
import json
import signal
import sqlite3
from pathlib import Path

import pytest
import yaml

from jobs._run_folder import RunFolder
from pipeline.errors import OutputError
from tests.e2e.conftest import RECIPE, ended, kill_when, kindred, result_of, start, wait_until
from tests.wait_for import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SMALL = [
    "pretrain.epochs=1",
    "relations={}",
    "probe.label_percents=[100]",
    "probe.draws=1",
    "probe.methods=[knn]",
    "subsets=[[imu, photo, note]]",
]
INTRA = "objectives=[{kind: intra, projection: {hidden: 8, dim: 8}}]"
VICREG = "objectives=[{kind: vicreg, projection: {hidden: 8, dim: 8}}]"
WRONG = "objectives=[{kind: relational, relation: nothing}]"


def write_study(folder: Path, **variants: list[str]) -> Path:
    document = {
        "name": "weights",
        "recipe": str(RECIPE),
        "overrides": SMALL,
        "seeds": [0, 1],
        "variants": variants,
        "out": "out",
        "select": {"metric": "probe/fused/knn/100/validation_accuracy", "mode": "max"},
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    return folder / "study.yaml"


def parents(folder: Path) -> dict[str, str | None]:
    """Name of every run of recipes and studies in MLflow -> the run it is nested in."""
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as database:
        names = dict(database.execute("select run_uuid, name from runs").fetchall())
        tags = database.execute("select run_uuid, key, value from tags").fetchall()
    of = {(run, key): value for run, key, value in tags}
    roots = [run for run in names if of[run, "kindred.stage"] == "run"]
    return {names[run]: names.get(of.get((run, "mlflow.parentRunId"))) for run in roots}


def states(folder: Path) -> dict[str, str]:
    return {
        path.parent.parent.name: json.loads(path.read_text())["state_hash"]
        for path in folder.glob("out/*/pretrain/result.json")
    }


def test_a_variant_that_fails_leaves_the_others_and_the_command_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    study = write_study(tmp_path, intra=[INTRA], wrong=[WRONG], vicreg=[VICREG])
    third = tmp_path / "out/vicreg-seed0/pretrain/result.json"
    killed = kill_when("study", folder=tmp_path, recipe=study, ready=third.exists)
    assert killed.returncode == -signal.SIGKILL
    first = (tmp_path / "out/intra-seed0/tracking/pretrain.jsonl").read_bytes()

    done = kindred("study", folder=tmp_path, recipe=study)

    assert done.returncode == 64, done.stderr
    assert "CONFIG_RELATION: run wrong-seed1: " in done.stderr
    found = json.loads((tmp_path / "out/study.json").read_text())
    assert found["status"] == "failed"
    assert {name: [run["status"] for run in each["runs"].values()] for name, each in found["variants"].items()} == {
        "intra": ["finished", "finished"],
        "wrong": ["failed", "failed"],
        "vicreg": ["finished", "finished"],
    }
    assert found["variants"]["wrong"]["runs"]["0"]["error"]["code"] == "CONFIG_RELATION"
    assert found["selected"]["variant"] in {"intra", "vicreg"}
    assert (tmp_path / "out/intra-seed0/tracking/pretrain.jsonl").read_bytes() == first
    assert len(list(tmp_path.glob("out/ingest-*/data"))) == 1
    nested = {name: parent for name, parent in parents(tmp_path).items() if parent is not None}
    assert nested.keys() >= {"intra-seed0", "vicreg-seed0", "intra-seed1", "vicreg-seed1"}
    assert set(nested.values()) == {"weights"}

    write_study(tmp_path, intra=[INTRA], vicreg=[VICREG])
    before = states(tmp_path)
    again = kindred("study", folder=tmp_path, recipe=study)
    assert again.returncode == 0, again.stderr
    assert result_of(again)["status"] == "finished"
    assert "study weights: intra" not in again.stderr, "nothing was run"
    assert states(tmp_path) == before


def test_heads_of_a_seed_branch_from_one_pretraining(tmp_path: Path) -> None:
    study = write_study(tmp_path, linear=[], cosface=["finetune.head={kind: cosface}"])
    branch = ("branch_at=finetune", "stages=[pretrain, probe, finetune]", "seeds=[0]", "select=null")
    few = (INTRA, "finetune.epochs=1", "finetune.percents=[50]", "finetune.min_steps=4")

    done = kindred("study", *branch, *few, folder=tmp_path, recipe=study)

    assert done.returncode == 0, done.stderr
    assert [*states(tmp_path)] == ["shared-seed0"]
    found = result_of(done)
    assert {(row["variant"], row["method"]) for row in found["rows"]} == {  # pyright: ignore
        ("linear", "finetune"),
        ("cosface", "finetune"),
        ("every variant", "knn"),
    }
    assert "supervised" in {row["method"] for row in found["controls"]}  # pyright: ignore
    assert parents(tmp_path)["shared-seed0"] == parents(tmp_path)["cosface-seed0"] == "weights"


@pytest.mark.ray
def test_runs_beside_each_other_stop_with_the_command_and_go_on_when_it_is_typed_again(tmp_path: Path) -> None:
    study = write_study(tmp_path, intra=[INTRA], wrong=[WRONG])
    given = ("at_once=2", "seeds=[0]")
    process = start("study", *given, folder=tmp_path, recipe=study)
    wait_until(process, (tmp_path / "out/intra-seed0/pretrain/identity.json").exists)
    process.terminate()
    assert ended(process).returncode == 75
    wait_for(lambda: _is_free(tmp_path / "out/intra-seed0"), seconds=60)

    done = kindred("study", *given, folder=tmp_path, recipe=study)

    assert done.returncode == 64, done.stderr
    assert result_of(done)["status"] == "failed"
    assert len(done.stdout.splitlines()) == 1, "Tune prints nothing there"
    runs = json.loads((tmp_path / "out/study.json").read_text())["variants"]
    assert runs["intra"]["runs"]["0"]["status"] == "finished"
    assert runs["wrong"]["runs"]["0"]["exit_code"] == 64
    assert "CONFIG_RELATION: run wrong-seed0: " in done.stderr
    assert parents(tmp_path)["intra-seed0"] == "weights"


def _is_free(run: Path) -> bool:
    """Whether no process holds a run."""
    try:
        with RunFolder(run).locked():
            return True
    except OutputError:
        return False
