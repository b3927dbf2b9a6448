"""Values that a training leaves for Prometheus; tests/e2e/test_gauges.py reads them back from a cluster."""

import subprocess
import sys
from pathlib import Path

from jobs._gauges import GAUGES, TrainingGauges
from tests.e2e.conftest import ROOT

PRIVATE = """
import sys
from pathlib import Path
from jobs._gauges import TrainingGauges
TrainingGauges(Path("run/pretrain"), 9).export()
sys.exit("ray" in sys.modules)
"""


def test_the_latest_values_count(tmp_path: Path) -> None:
    gauges = TrainingGauges(tmp_path / "tiny-7" / "pretrain", 90)
    gauges.note(1, {"loss/total": 3.0, "samples_per_s": 10.0, "learning_rate": 0.1})
    gauges.note(2, {"loss/total": 2.0, "samples_per_s": 20.0, "workers/slowest_ratio": 1.5})
    gauges.note(3, {"health/imu/std": 0.1})

    assert gauges.tags == {"run": "tiny-7", "stage": "pretrain"}
    assert gauges.values == {
        "kindred_planned_steps": 90.0,
        "kindred_step": 3.0,
        "kindred_loss": 2.0,
        "kindred_samples_per_second": 20.0,
        "kindred_slowest_worker_ratio": 1.5,
    }
    assert gauges.values.keys() | {"kindred_worker_restarts"} == GAUGES.keys()


def test_a_private_ray_gets_none() -> None:
    environment = {"PYTHONPATH": str(ROOT)}

    assert subprocess.run([sys.executable, "-c", PRIVATE], env=environment, check=False).returncode == 0
