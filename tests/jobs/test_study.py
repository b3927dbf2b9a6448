"""A study from run folders that are finished: nothing is run again, and what failed is said beside what did not."""

import json
from pathlib import Path

import pytest
import yaml

from jobs._run_folder import RunFolder
from jobs.study import DOCUMENT_NAME, TABLE_NAME, run_study
from jobs.study_plan import Study, load_study
from pipeline.errors import ConfigError, OutputError, Problems
from tests.jobs.tiny_run import RECIPE

LINEAR, HELD_OUT = "probe/fused/linear/100/accuracy", "probe/fused/linear/100/validation_loss"


@pytest.fixture
def study(pretrained: Path, tmp_path: Path) -> Study:
    """Two variants with two seeds, all finished: better is better on the test split and worse on held-out groups."""
    document = {
        "name": "s",
        "recipe": str(RECIPE),
        "overrides": [f"data={{path: {pretrained}/data}}"],
        "seeds": [0, 1],
        "variants": {"plain": [], "better": ["pretrain.epochs=3"]},
        "select": {"metric": HELD_OUT, "mode": "min"},
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    planned = load_study(tmp_path / "study.yaml", [f"out={tmp_path}/out"])
    for run in planned.runs:
        better = run.variant == "better"
        folder = RunFolder(run.recipe.folder)
        folder.finish("pretrain", {"metrics": {"time/pretrain_s": 3.0}, "state_hash": "0"})
        folder.finish("probe", {"metrics": {LINEAR: 0.5 + 0.1 * better + 0.1 * run.seed, HELD_OUT: 1.0 + better}})
    return planned


def document_of(study: Study) -> dict:
    return json.loads((study.folder / DOCUMENT_NAME).read_text())


def test_finished_runs_become_a_table_and_nothing_is_run(study: Study) -> None:
    found = run_study(study)

    assert found == document_of(study)
    assert found["status"] == "finished"
    table = (study.folder / TABLE_NAME).read_text()
    assert "| plain | fused | Kindred, linear probe | 55.0 ± 7.1 | 3.0 ± 0.0 |" in table
    assert "| better | fused | Kindred, linear probe | +10.0 ± 0.0 (+10.0, +10.0) |" in table
    assert not (study.folder / "tracking").exists()
    before = {path: path.read_bytes() for path in study.folder.rglob("*") if path.is_file()}
    run_study(study)
    assert {path: path.read_bytes() for path in study.folder.rglob("*") if path.is_file()} == before


def test_the_choice_is_by_held_out_groups_whatever_the_test_split_says(study: Study) -> None:
    found = run_study(study)["selected"]

    assert found == {"variant": "plain", "metric": HELD_OUT, "mode": "min", "means": {"plain": 1.0, "better": 2.0}}


def test_a_variant_that_lacks_a_seed_is_not_chosen(study: Study) -> None:
    folder = RunFolder(study.folder / "plain-seed1")
    folder.finish("probe", {"metrics": {LINEAR: 0.5}})

    assert run_study(study)["selected"]["variant"] == "better"  # pyright: ignore


def test_a_metric_that_no_run_has_is_an_error_after_the_table(study: Study) -> None:
    for run in study.runs:
        RunFolder(run.recipe.folder).finish(
            "probe", {"metrics": {LINEAR: 0.5, "probe/imu/knn/1/validation_accuracy": 1}}
        )

    with pytest.raises(Problems, match=r"no variant has this metric.*probe/imu/knn/1/validation_accuracy"):
        run_study(study)

    assert document_of(study)["selected"] is None
    assert "| plain | fused |" in (study.folder / TABLE_NAME).read_text()


def test_a_run_of_another_configuration_fails_alone_with_its_code(study: Study) -> None:
    (study.folder / "better-seed1" / "pretrain" / "identity.json").write_text('{"seed": 8}')

    with pytest.raises(Problems, match=r"RESUME_CONFIG: run better-seed1: .*seed: 8 -> 1") as caught:
        run_study(study)

    assert caught.value.exit_code == ConfigError.exit_code
    runs = document_of(study)["variants"]["better"]["runs"]
    assert (runs["0"]["status"], runs["1"]["status"], runs["1"]["exit_code"]) == ("finished", "failed", 64)
    assert runs["1"]["error"]["code"] == "RESUME_CONFIG"
    assert "(+10.0)" not in (study.folder / TABLE_NAME).read_text()
    assert "| better | fused | Kindred, linear probe | +10.0 |" in (study.folder / TABLE_NAME).read_text()


@pytest.fixture
def branched(study: Study, tmp_path: Path) -> Study:
    """Both variants with both seeds fine-tuned from one pretraining a seed."""
    document = yaml.safe_load((tmp_path / "study.yaml").read_text())
    document |= {"stages": ["pretrain", "probe", "finetune"], "branch_at": "finetune", "select": None}
    document["variants"] = {"plain": [], "better": ["finetune.epochs=3"]}
    (tmp_path / "branched.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    planned = load_study(tmp_path / "branched.yaml", [f"out={tmp_path}/branched"])
    for trunk in planned.trunks:
        folder = RunFolder(trunk.recipe.folder)
        folder.finish("pretrain", {"metrics": {"time/pretrain_s": 3.0}, "state_hash": "0"})
        folder.finish("probe", {"metrics": {LINEAR: 0.5}})
    for run in planned.runs:
        accuracy = 0.6 + 0.1 * (run.variant == "better")
        RunFolder(run.recipe.folder).finish("finetune", {"metrics": {"finetune/100/accuracy": accuracy}})
    return planned


def test_variants_stand_beside_what_they_branch_from(branched: Study) -> None:
    found = run_study(branched)

    assert {seed: run["status"] for seed, run in found["shared"].items()} == {"0": "finished", "1": "finished"}  # pyright: ignore
    table = (branched.folder / TABLE_NAME).read_text()
    assert "| better | fused | Kindred, fine-tuned | 70.0 ± 0.0 |  |" in table
    assert "| every variant | fused | Kindred, linear probe | 50.0 ± 0.0 | 3.0 ± 0.0 |" in table


def test_variants_do_not_go_on_from_a_trunk_of_another_configuration(branched: Study) -> None:
    trunk, waiting = branched.folder / "shared-seed1", branched.folder / "better-seed1" / "finetune" / "result.json"
    (trunk / "pretrain" / "identity.json").write_text('{"seed": 8}')
    waiting.unlink()

    with pytest.raises(Problems, match=r"RESUME_CONFIG: run shared-seed1: .*seed: 8 -> 1"):
        run_study(branched)

    found = document_of(branched)
    assert (found["shared"]["1"]["status"], found["shared"]["0"]["status"]) == ("failed", "finished")
    runs = found["variants"]["better"]["runs"]
    assert (runs["0"]["status"], runs["1"]["error"]["code"]) == ("finished", "RESUME_CONFIG")
    assert not waiting.exists()


def test_a_study_that_runs_already_is_refused(study: Study) -> None:
    with RunFolder(study.folder).locked(), pytest.raises(OutputError, match="OUT_LOCKED"):
        run_study(study)
