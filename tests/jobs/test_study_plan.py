"""From a study file to its runs."""

from pathlib import Path

import pytest
import yaml

from jobs.study_plan import Study, load_study
from pipeline.errors import ConfigError, Problems
from tests.jobs.tiny_run import RECIPE


def planned(folder: Path, *overrides: str, **given: object) -> Study:
    document = {"name": "s", "recipe": "tiny.yaml", "seeds": [4, 2], "variants": {"a": [], "b": ["probe.draws=3"]}}
    (folder / "tiny.yaml").write_text(RECIPE.read_text())
    (folder / "study.yaml").write_text(yaml.safe_dump({**document, **given}, sort_keys=False))
    return load_study(folder / "study.yaml", overrides)


def test_every_variant_has_every_seed_on_one_data_set(tmp_path: Path) -> None:
    study = planned(tmp_path, "out=here", "pretrain.epochs=2")

    assert [run.name for run in study.runs] == ["a-seed4", "b-seed4", "a-seed2", "b-seed2"]
    assert {run.recipe.seed for run in study.runs} == {4, 2}
    assert {run.recipe.pretrain.epochs for run in study.runs} == {2}
    assert [run.recipe.probe.draws for run in study.runs] == [2, 3, 2, 3]
    (ingestion,) = study.ingestions()
    assert {Path(str(run.recipe.place)) for run in study.runs} == {Path.cwd() / ingestion.recipe.folder / "data"}
    assert {run.recipe.tracking.experiment for run in study.runs} == {"tiny"}


def test_variants_of_the_data_have_data_sets_of_their_own(tmp_path: Path) -> None:
    study = planned(tmp_path, variants={"a": [], "b": ["data.generate.missing_imu=0.5"], "c": ["probe.draws=3"]})

    places = {run.variant: str(run.recipe.place) for run in study.runs}
    assert places["a"] == places["c"] != places["b"]
    assert len(study.ingestions()) == 2


def test_ingested_data_is_taken_as_it_is(tmp_path: Path) -> None:
    study = planned(tmp_path, "data={path: elsewhere/data}")

    assert study.ingestions() == []
    assert {str(run.recipe.place) for run in study.runs} == {"elsewhere/data"}


BRANCHED = {"stages": ["pretrain", "probe", "finetune"], "branch_at": "finetune"}


def test_variants_branch_from_one_pretraining_a_seed(tmp_path: Path) -> None:
    study = planned(tmp_path, "out=here", variants={"a": [], "b": ["finetune.head={kind: cosface}"]}, **BRANCHED)

    assert [trunk.name for trunk in study.trunks] == ["shared-seed4", "shared-seed2"]
    assert {trunk.stages for trunk in study.trunks} == {("pretrain", "probe")}
    assert {run.stages for run in study.runs} == {("finetune",)}
    assert {run.name: str(run.recipe.pretrained) for run in study.runs} == {
        f"{variant}-seed{seed}": f"{Path.cwd()}/here/shared-seed{seed}" for variant in "ab" for seed in (4, 2)
    }
    assert {run.recipe.seed for run in study.trunks} == {4, 2}
    assert len({str(run.recipe.place) for run in (*study.trunks, *study.runs)}) == 1


def test_a_variant_of_what_is_shared_is_refused(tmp_path: Path) -> None:
    variants = {"a": ["pretrain.epochs=3"], "b": ["finetune.epochs=3"], "c": ["probe.draws=3"], "d": ["pretrained=x"]}

    with pytest.raises(Problems) as caught:
        planned(tmp_path, variants=variants, **BRANCHED)

    fields = {str(problem.field) for problem in caught.value.problems}
    assert fields == {"pretrain.epochs", "probe.draws", "pretrained"}
    assert planned(tmp_path, variants={"c": ["probe.draws=3"]}, branch_at="probe").trunks[0].stages == ("pretrain",)


def test_keys_of_the_study_go_to_the_study(tmp_path: Path) -> None:
    study = planned(tmp_path, "seeds=[7]", "variants.c=[probe.draws=5]", "out=there")

    assert [run.name for run in study.runs] == ["a-seed7", "b-seed7", "c-seed7"]
    assert study.folder == Path("there")


def test_mistakes_of_all_variants_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(Problems) as caught:
        planned(tmp_path, variants={"a": ["pretrain.epoch=3"], "b": [], "c": ["probe.draws=0", "seeds"]})

    assert [str(problem.field) for problem in caught.value.problems] == ["pretrain.epoch", "None", "probe.draws"]
    assert [problem.message.split(":")[0] for problem in caught.value.problems] == [
        "variant a",
        "variant c",
        "variant c",
    ]
    assert caught.value.exit_code == 64


def test_runs_beside_each_other_train_in_one_process_each(tmp_path: Path) -> None:
    with pytest.raises(Problems, match=r"variant a: .*field=pretrain.workers") as caught:
        planned(tmp_path, "at_once=2", "pretrain.workers=2")

    assert len(caught.value.problems) == 2  # one a variant
    assert planned(tmp_path, "at_once=2", "pretrain.workers=0").config.at_once == 2


def test_only_the_command_line_may_name_a_folder_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"study.yaml leaves the working folder"):
        planned(tmp_path, out=str(tmp_path / "out"))

    assert planned(tmp_path, f"out={tmp_path}/out", out="/etc").folder == tmp_path / "out"
