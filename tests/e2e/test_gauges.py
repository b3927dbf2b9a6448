"""A training on a shared cluster, as Prometheus sees it at the head."""

import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from jobs._gauges import GAUGES
from pipeline.tracking import read_spool
from tests.e2e.conftest import command, environment
from tests.e2e.ray_cluster import Cluster, ray_cluster
from tests.infra.promql import named_metrics
from tests.wait_for import wait_for

EXPORTED_QUICKLY = {"RAY_metrics_report_interval_ms": "1000"}
OURS = {f"ray_{name}" for name in GAUGES}
OF_GPUS = {"ray_node_gpus_utilization", "ray_node_gram_used", "ray_node_gram_available"}
NUM_EPOCHS = 4000


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_prometheus_sees_what_was_logged_and_a_restart(ingested: Path) -> None:
    with ray_cluster(cpus=2, variables=EXPORTED_QUICKLY) as cluster:
        job = _start(cluster, cluster.folder, ingested)
        try:
            seen = _seen(cluster, job)
            job.terminate()
            code = job.wait(timeout=120)
        finally:
            job.kill()
            job.wait()
        records = read_spool(cluster.folder / "tiny-7" / "tracking" / "pretrain.jsonl")[0]

    assert code == 75
    logged = [record for record in records if record.kind == "metrics"]
    assert seen["ray_kindred_step"] in {float(record.step) for record in logged}
    assert seen["ray_kindred_planned_steps"] % NUM_EPOCHS == 0
    assert seen["ray_kindred_worker_restarts"] == 0
    for gauge, name in (
        ("ray_kindred_loss", "pretrain/loss/total"),
        ("ray_kindred_samples_per_second", "pretrain/samples_per_s"),
        ("ray_kindred_slowest_worker_ratio", "pretrain/workers/slowest_ratio"),
    ):
        assert seen[gauge] in {record.floats().get(name) for record in logged}, gauge


def _start(cluster: Cluster, folder: Path, ingested: Path) -> subprocess.Popen[bytes]:
    given = [
        f"out={folder}/tiny-7",
        f"data.path={ingested}/data",
        "pretrain.workers=2",
        f"pretrain.epochs={NUM_EPOCHS}",
    ]
    variables = environment(folder) | cluster.environment | {"RAY_ADDRESS": cluster.control_store}
    with (folder / "err").open("w") as err:
        return subprocess.Popen(
            command("pretrain", *given), cwd=folder, env=variables, stdout=subprocess.DEVNULL, stderr=err
        )


def _seen(cluster: Cluster, job: subprocess.Popen[bytes]) -> dict[str, float]:
    """The first values of all gauges, once they moved on, and a killed worker was counted."""

    def wait(ready: Callable[[], bool]) -> None:
        wait_for(lambda: job.poll() is not None or ready(), seconds=120)
        assert job.poll() is None, (cluster.folder / "err").read_text()

    wait(lambda: set(_gauges(cluster)) == OURS)
    seen = _gauges(cluster)
    wait(lambda: _gauges(cluster).get("ray_kindred_step", 0) > seen["ray_kindred_step"])
    wait(lambda: named_metrics() - OF_GPUS <= {sample.name for sample in _scrape(cluster)})
    cluster.workers()[0].kill()
    wait(lambda: _gauges(cluster).get("ray_kindred_worker_restarts") == 1)
    return seen


def _scrape(cluster: Cluster) -> list[Sample]:
    with urllib.request.urlopen(cluster.metrics, timeout=30) as answer:
        text = answer.read().decode()
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def _gauges(cluster: Cluster) -> dict[str, float]:
    """Ours, of the stage of the run."""
    here = {"run": "tiny-7", "stage": "pretrain"}
    return {each.name: each.value for each in _scrape(cluster) if here.items() <= each.labels.items()}
