"""Downstream stages start from another run's pretraining, by its folder or by its MLflow run id."""

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import kindred, result_of

SHORT = ["pretrain.epochs=1", "probe.label_percents=[100]", "subsets=[[imu]]"]


def _metrics(found: dict[str, object]) -> dict[str, object]:
    metrics = found["metrics"]
    assert isinstance(metrics, dict)
    return {name: value for name, value in metrics.items() if name.startswith("probe/")}


@pytest.mark.slow
def test_a_probe_from_a_run_id_is_the_probe_of_that_run(workplace: Path) -> None:
    first = kindred("pretrain", "out=run", *SHORT, folder=workplace)
    own = kindred("probe", "out=run", *SHORT, folder=workplace)
    ids = result_of(first)["mlflow"]
    assert isinstance(ids, dict)

    by_id = kindred(
        "probe", "out=down", "data.path=run/data", f"pretrained={ids['pretrain']}", *SHORT, folder=workplace
    )
    unknown = kindred("probe", "out=none", "data.path=run/data", f"pretrained={'0' * 32}", *SHORT, folder=workplace)
    empty = kindred("probe", "out=none", "data.path=run/data", "pretrained=run/raw", *SHORT, folder=workplace)

    spool = (workplace / "run" / "tracking" / "pretrain.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in spool if "pretrain/loss/total" in line]
    assert steps == sorted(set(steps)), "a curve has one point a step"
    assert steps[0] > 0
    assert by_id.returncode == 0, by_id.stderr
    assert _metrics(result_of(by_id)) == _metrics(result_of(own)) != {}
    assert unknown.returncode == 69, unknown.stderr
    assert empty.returncode == 66
    assert "CKPT_MISSING" in empty.stderr


@pytest.mark.slow
def test_a_run_stands_for_its_recipe(workplace: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    first = kindred("pretrain", "out=run", *SHORT, folder=workplace)
    ids = result_of(first)["mlflow"]
    assert isinstance(ids, dict)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    uri = f"tracking.uri=sqlite:///{workplace}/mlflow.db"

    by_id = kindred("probe", uri, recipe=Path(str(ids["run"])), folder=elsewhere)
    by_folder = kindred("probe", uri, recipe=workplace / "run", folder=elsewhere)
    apart = kindred("probe", uri, f"out={elsewhere}/down", recipe=Path(str(ids["run"])), folder=elsewhere)
    unknown = kindred("probe", uri, recipe=Path("0" * 32), folder=elsewhere)
    no_run = kindred("probe", uri, recipe=elsewhere, folder=elsewhere)

    assert by_id.returncode == 0, by_id.stderr
    assert (workplace / "run" / "probe" / "result.json").exists()
    assert _metrics(result_of(by_folder)) == _metrics(result_of(by_id)) != {}
    assert apart.returncode == 0, apart.stderr
    assert _metrics(result_of(apart)) == _metrics(result_of(by_id))
    assert (elsewhere / "down" / "probe" / "result.json").exists()
    assert unknown.returncode == 69, unknown.stderr
    assert no_run.returncode == 73, no_run.stderr


def test_encoders_that_have_seen_the_test_subjects_are_refused(workplace: Path) -> None:
    first = kindred("pretrain", "out=run", *SHORT, folder=workplace)
    other = kindred("ingest", "out=other", "data.ingest.split.seed=3", folder=workplace)
    assert (first.returncode, other.returncode) == (0, 0), other.stderr

    probe = kindred("probe", "out=down", "data.path=other/data", "pretrained=run", *SHORT, folder=workplace)

    assert probe.returncode == 65, probe.stderr
    assert "of subject are in more than one split" in probe.stderr
