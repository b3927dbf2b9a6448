"""`kindred evaluate` as users type it: after the checkpoints are gone, tracked in MLflow, once."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.conftest import kindred, result_of, tracked_runs

SHORT = [
    "pretrain.workers=0",
    "pretrain.epochs=1",
    "probe.label_percents=[100]",
    "subsets=[[imu]]",
    "evaluate.few_shot={ways: 2, shots: [1], queries: 2, episodes: 20}",
]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_evaluate_gives_the_numbers_of_the_probe_without_the_checkpoints(workplace: Path) -> None:
    for verb in ("pretrain", "probe"):
        done = kindred(verb, "out=run", *SHORT, folder=workplace)
        assert done.returncode == 0, done.stderr
    probed = result_of(done)["metrics"]
    assert isinstance(probed, dict)
    shutil.rmtree(workplace / "run" / "pretrain" / "checkpoints")

    evaluated = kindred("evaluate", "out=run", *SHORT, folder=workplace)

    assert evaluated.returncode == 0, evaluated.stderr
    result = result_of(evaluated)
    metrics, stages = result["metrics"], result["stages"]
    assert isinstance(metrics, dict)
    assert isinstance(stages, dict)
    expected = {name: value for name, value in probed.items() if name.startswith(("probe/", "control/"))}
    assert "probe/fused/linear/100/accuracy" in expected
    assert {name: metrics[f"evaluate/{name}"] for name in expected} == expected
    assert stages["evaluate"]["differing"] == []
    assert "Retrieval mAP" in evaluated.stderr
    assert tracked_runs(workplace)["evaluate"] == "FINISHED"
    with closing(sqlite3.connect(workplace / "mlflow.db")) as database:
        tracked = dict(database.execute("select key, value from metrics where key like 'evaluate/%'").fetchall())
    assert tracked == {name: value for name, value in metrics.items() if name.startswith("evaluate/")}
