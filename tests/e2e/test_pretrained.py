"""Downstream stages start from another run's pretraining, by its folder or by its MLflow run id."""

from pathlib import Path

from tests.e2e.conftest import kindred, result_of

SHORT = ["pretrain.epochs=1", "probe.label_percents=[100]", "subsets=[[imu]]"]


def _metrics(found: dict[str, object]) -> dict[str, object]:
    metrics = found["metrics"]
    assert isinstance(metrics, dict)
    return {name: value for name, value in metrics.items() if name.startswith("probe/")}


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

    assert by_id.returncode == 0, by_id.stderr
    assert _metrics(result_of(by_id)) == _metrics(result_of(own)) != {}
    assert unknown.returncode == 69, unknown.stderr
    assert empty.returncode == 66
    assert "CKPT_MISSING" in empty.stderr
