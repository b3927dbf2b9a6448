"""kindred relations on the command line: a recipe, a folder, a bad relation recognised, and bad input."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from jobs.__main__ import main

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests" / "e2e" / "tiny.yaml"
RELATIONS = {
    "near": {"kind": "temporal", "within_s": 30, "column": "session"},
    "gear": {"kind": "same", "column": "device"},
    "listed": {"kind": "edges", "path": "links.csv"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Path:
    """A recipe with three relations, and its data set in run/data."""
    base = tmp_path_factory.mktemp("relations")
    recipe = yaml.safe_load(TINY.read_text())
    recipe["data"]["generate"] |= {"num_subjects": 8, "num_devices": 3, "sessions_per_subject": 2}
    (base / "tiny.yaml").write_text(yaml.safe_dump(recipe))
    recipe["relations"] = {**recipe.get("relations", {}), **RELATIONS}
    (base / "r.yaml").write_text(yaml.safe_dump(recipe))
    shutil.copy(migrated, base / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(base)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{base}/mlflow.db")
        assert main(["ingest", "tiny.yaml", "out=run"]) == 0
    return base


@pytest.fixture(autouse=True)
def elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")


def keys_of(folder: Path, split: str) -> list[str]:
    table = pq.read_table(folder / "run/data/index.parquet")
    return [
        key for key, part in zip(*table.select(["key", "split"]).to_pydict().values(), strict=True) if part == split
    ]


def test_a_recipe_s_relations_are_judged_and_a_device_relation_is_recognised(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, test = keys_of(folder, "train"), keys_of(folder, "test")
    rows = [f"{train[0]},{train[1]}", f"{train[0]},{train[1]}", f"{train[2]},{test[0]}", f"{train[3]},{train[3]}"]
    (folder / "links.csv").write_text("source,target\n" + "\n".join(rows) + "\n")

    assert main(["relations", "r.yaml", "out=judged", "data.path=run/data", "data.ingest=null", "--json"]) == 0

    captured = capsys.readouterr()
    result = json.loads(captured.out)
    reports = result["stages"]["relations"]["relations"]
    assert reports["near"]["verdict"]["encodes"] == "label"
    assert reports["gear"]["verdict"] == {
        "encodes": "nuisance",
        "is_nuisance": True,
        "sentence": reports["gear"]["verdict"]["sentence"],
    }
    assert reports["gear"]["verdict"]["sentence"].startswith("encodes device (consistency 1.00, chance 0.")
    assert "warning: gear says nothing about any label" in captured.err
    assert "warning: near" not in captured.err
    listed = reports["listed"]
    assert (listed["num_links"], listed["num_samples"]) == (1, len(train))
    found = listed["findings"]
    assert (found["outside"], found["duplicates"], found["self_loops"], found["one_directional"]) == (1, 1, 1, 1)
    assert result["metrics"]["relations/gear/device/consistency_node"] == 1.0
    assert (
        0
        < result["metrics"]["relations/near/activity/chance"]
        < result["metrics"]["relations/near/activity/consistency_node"]
    )
    assert json.loads((folder / "judged/result.json").read_text())["metrics"] == result["metrics"]
    assert result["mlflow"]["relations"]

    assert main(["relations", "r.yaml", "out=judged", "data.path=run/data", "data.ingest=null"]) == 0
    assert "gear" in capsys.readouterr().err, "a finished command prints its table again"
    (folder / "links.csv").write_text("source,target\n")
    assert main(["relations", "r.yaml", "out=judged", "data.path=run/data", "data.ingest=null"]) == 64
    assert "RESUME_CONFIG" in capsys.readouterr().err


def test_a_data_set_folder_gets_the_default_relations(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["relations", "run/data", "--json"]) == 0

    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert set(result["relations"]) == {"same_subject", "same_device", "same_session", "temporal"}
    assert result["relations"]["same_device"]["verdict"]["is_nuisance"]
    assert result["relations"]["temporal"]["verdict"]["encodes"] == "label"
    assert json.loads((folder / "runs/data-relations/result.json").read_text()) == result
    assert "same_device encodes device (consistency 1.00" in captured.err
    assert main(["relations", "run/data", "relations.t.kind=temporal", "relations.t.within_s=5"]) == 64
    assert "RESUME_CONFIG" in capsys.readouterr().err
    assert main(["relations", "run/data", "relations.t.kind=same", "relations.t.column=device", "out=runs/two"]) == 0


def test_every_bad_relation_is_named_at_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "typo.csv").write_text(f"source,target\n{keys_of(folder, 'train')[0]},nobody\n")
    bad = [
        "relations={}",
        "relations.a.kind=same",
        "relations.a.column=divice",
        "relations.b.kind=edges",
        "relations.b.path=typo.csv",
        "relations.c.kind=nearest",
        "relations.c.columns=[subject]",
    ]

    assert main(["relations", "run/data", *bad, "out=bad"]) == 64
    message = capsys.readouterr().err
    assert "did you mean 'device'" in message
    assert "typo.csv row 1: no sample has the key 'nobody'" in message
    assert "column 'subject' holds" in message
    assert not (folder / "bad/result.json").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere.yaml"], 64, "no such file"),
        (["r.yaml", "relations.near.within_s=-1"], 64, "relations.near.within_s"),
        (["r.yaml", "relations.near.kind=nearet"], 64, "did you mean 'nearest'?"),
        (["run/data", "relations.a.kind=meta_path", "relations.a.path=[session,device]"], 64, "relations.a.path"),
        (["run"], 65, "manifest"),
    ],
)
def test_bad_input_is_refused(
    arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["relations", *arguments]) == code
    assert message in capsys.readouterr().err
