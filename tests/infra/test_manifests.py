"""What users deploy, as far as it can be checked without a cluster: schemas, versions, loopback, secrets."""

import json
import re
from collections.abc import Iterator
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml

INFRA = Path(__file__).parents[2] / "infra"
COMPOSE = yaml.safe_load((INFRA / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, object]] = COMPOSE["services"]
KUBERNETES = [
    document for path in sorted((INFRA / "kuberay").glob("*.yaml")) for document in yaml.safe_load_all(path.read_text())
]
CLUSTERS = [
    d["spec"] if d["kind"] == "RayCluster" else d["spec"]["rayClusterSpec"]
    for d in KUBERNETES
    if "ray.io" in d["apiVersion"]
]


def _images() -> Iterator[str]:
    yield from (str(service["image"]) for service in SERVICES.values())
    for cluster in CLUSTERS:
        for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
            yield from (container["image"] for container in group["template"]["spec"]["containers"])
    yield yaml.safe_load((INFRA / "ray" / "cluster.yaml").read_text())["docker"]["image"]


@pytest.mark.parametrize("image", sorted(set(_images())))
def test_every_image_is_pinned(image: str) -> None:
    _, _, tag = image.rpartition(":")
    assert re.search(r"\d", tag), image


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_ports_are_published_on_loopback_only(name: str) -> None:
    assert all(str(port).startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))  # pyright: ignore


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_files_that_are_mounted_are_there(name: str) -> None:
    sources = [str(volume).partition(":")[0] for volume in SERVICES[name].get("volumes", [])]  # pyright: ignore
    assert all((INFRA / source).exists() for source in sources if source.startswith("."))


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_is_healthy_before_others_need_it(name: str) -> None:
    needed = SERVICES[name].get("depends_on", {})
    assert isinstance(needed, dict)
    for other, how in needed.items():
        if how["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other], f"{name} waits for {other}, which never becomes healthy"


def test_secrets_come_from_files_and_their_examples_are_there() -> None:
    declared = COMPOSE["secrets"]
    assert {entry["file"] for entry in declared.values()} == {f"./secrets/{name}" for name in declared}
    assert {path.name for path in (INFRA / "secrets.example").iterdir()} == set(declared)
    for name, service in SERVICES.items():
        assert set(service.get("secrets", [])) <= set(declared), name  # pyright: ignore
        environment = service.get("environment", {})
        assert isinstance(environment, dict)
        literal = [key for key in environment if re.search(r"PASSWORD|SECRET|TOKEN", key)]
        assert all(str(environment[key]).startswith("/run/secrets/") for key in literal), name


@pytest.mark.parametrize("cluster", CLUSTERS, ids=lambda cluster: str(len(cluster)))
def test_clusters_run_the_locked_ray_with_authentication(cluster: dict[str, object]) -> None:
    assert cluster["rayVersion"] == version("ray")
    assert cluster["authOptions"] == {"mode": "token"}


@pytest.mark.parametrize("cluster", CLUSTERS, ids=lambda cluster: str(len(cluster)))
def test_pods_are_valid_not_root_and_bounded(cluster: dict[str, object]) -> None:
    workers = cluster["workerGroupSpecs"]
    assert isinstance(workers, list)
    for group in [cluster["headGroupSpec"], *workers]:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, **group["template"]}
        kubernetes_validate.validate(pod, "1.37", strict=True)
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        for container in pod["spec"]["containers"]:
            assert container["resources"]["requests"] == container["resources"]["limits"]


def test_a_typo_in_a_pod_is_noticed() -> None:
    group = CLUSTERS[0]["headGroupSpec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": {**group["spec"], "contaners": []}}

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(pod, "1.37", strict=True)


def test_other_kubernetes_objects_are_valid() -> None:
    others = [document for document in KUBERNETES if document["apiVersion"] == "v1"]

    assert [document["kind"] for document in others] == ["PersistentVolumeClaim"]
    for document in others:
        kubernetes_validate.validate(document, "1.37", strict=True)
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate({**document, "sepc": {}}, "1.37", strict=True)


def test_jobs_name_a_mode_that_exists() -> None:
    jobs = [d["spec"] for d in KUBERNETES if d["kind"] == "RayJob"]
    assert jobs
    assert all(job["submissionMode"] in {"K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"} for job in jobs)


def test_the_cluster_launcher_file_fits_the_schema_of_ray() -> None:
    schema = json.loads((files("ray") / "autoscaler" / "ray-schema.json").read_text())

    launcher = yaml.safe_load((INFRA / "ray" / "cluster.yaml").read_text())
    jsonschema.validate(launcher, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**launcher, "max_wrokers": 2}, schema)
    assert launcher["max_workers"] == len(launcher["provider"]["worker_ips"])


def test_the_image_installs_what_ci_installs() -> None:
    lines = (INFRA / "docker" / "Dockerfile").read_text()

    copied = [word for line in lines.splitlines() if line.startswith("COPY") for word in line.split()[2:-1]]
    assert "RUN make install" in lines
    assert re.search(r"^USER (?!root)", lines, re.MULTILINE)
    assert all((INFRA.parent / name).exists() for name in copied)
    assert {"Makefile", "pyproject.toml", "requirements.lock"} <= set(copied)
