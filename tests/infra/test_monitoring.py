"""Dashboard, alerts and scraping, as far as they can be checked without Prometheus and Grafana."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ray.dashboard.modules.metrics.dashboards.default_dashboard_panels import default_dashboard_config
from ray.dashboard.modules.metrics.dashboards.train_dashboard_panels import train_dashboard_config

from jobs._gauges import GAUGES, TAGS
from jobs._stragglers import SLOW
from tests.infra.promql import ALERTS, DASHBOARD, MONITORING, RULES, expressions, metrics_of, named_metrics

INFRA = MONITORING.parent
COMPOSE = yaml.safe_load((INFRA / "compose.yaml").read_text())
KUBERNETES = {each["kind"]: each for each in yaml.safe_load_all((INFRA / "kuberay" / "monitoring.yaml").read_text())}


def _of_ray() -> set[str]:
    """What the locked Ray's own dashboards ask for."""
    panels = [*default_dashboard_config.panels, *train_dashboard_config.panels]
    rows = [*(default_dashboard_config.rows or []), *(train_dashboard_config.rows or [])]
    panels += [panel for row in rows for panel in row.panels]
    return {name for panel in panels for target in panel.targets for name in re.findall(r"\bray_\w+", target.expr)}


def test_every_metric_asked_for_is_exported() -> None:
    ours = {f"ray_{name}" for name in GAUGES}

    assert named_metrics() - ours - _of_ray() == set()
    assert ours - named_metrics() == set(), "exported, and shown nowhere"


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ('max by (run, stage) (a_b{run=~"$run"} / c)', {"a_b", "c"}),
        ("a unless on (run) changes(b[10m]) > 0", {"a", "b"}),
        ("kindred_los > 2", {"kindred_los"}),
    ],
)
def test_metrics_are_found_in_an_expression(expression: str, names: set[str]) -> None:
    assert metrics_of(expression) == names


@pytest.mark.parametrize("expression", expressions())
def test_labels_of_our_metrics_are_those_they_have(expression: str) -> None:
    if "ray_kindred" not in expression:
        return
    grouped = re.findall(r"\b(?:by|on) \(([^)]*)\)", expression)

    assert {label for labels in grouped for label in labels.split(", ")} <= set(TAGS)


def _places(value: object) -> Iterator[dict[str, str]]:
    """Every data source in the dashboard."""
    if isinstance(value, dict):
        yield from ([value["datasource"]] if "datasource" in value else [])
        yield from (place for each in value.values() for place in _places(each))
    elif isinstance(value, list):
        yield from (place for each in value for place in _places(each))


def test_the_dashboard_asks_the_data_source_that_is_there() -> None:
    provisioned = yaml.safe_load((MONITORING / "grafana" / "datasources" / "prometheus.yaml").read_text())[
        "datasources"
    ]
    found = list(_places(DASHBOARD))

    assert found
    assert [(each["type"], each["uid"]) for each in provisioned] == [("prometheus", "prometheus")]
    assert all(place == {"type": "prometheus", "uid": "prometheus"} for place in found)
    assert provisioned[0]["url"] == "http://prometheus:9090"
    assert "prometheus" in COMPOSE["services"]


def test_panels_have_ids_and_places_of_their_own() -> None:
    panels = DASHBOARD["panels"]
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len(set(cells)) == len(cells), "panels overlap"
    assert max(x for x, _ in cells) < 24


def test_grafana_finds_its_files_and_asks_for_a_password() -> None:
    grafana = COMPOSE["services"]["grafana"]
    provider = yaml.safe_load((MONITORING / "grafana" / "dashboards" / "kindred.yaml").read_text())["providers"][0]
    mounted = dict(volume.split(":")[:2] for volume in grafana["volumes"])

    inside = Path(provider["options"]["path"]).relative_to(mounted["./monitoring/grafana"])
    assert (MONITORING / "grafana" / inside / "kindred.json").exists()
    assert grafana["environment"]["GF_SECURITY_ADMIN_PASSWORD__FILE"] == "/run/secrets/grafana_password"
    assert not any("ANONYMOUS" in name for name in grafana["environment"])


def test_prometheus_finds_its_rules() -> None:
    config = yaml.safe_load((MONITORING / "prometheus.yaml").read_text())
    mounted = dict(volume.split(":")[:2] for volume in COMPOSE["services"]["prometheus"]["volumes"])

    assert {f"/etc/prometheus/{name}" for name in config["rule_files"]} <= set(mounted.values())
    assert mounted["./monitoring/alerts.yaml"] == "/etc/prometheus/alerts.yaml"
    for service in config["scrape_configs"][0]["dns_sd_configs"][0]["names"]:
        assert "--metrics-export-port=8080" in COMPOSE["services"][service]["command"]


def test_alerts_are_named_explained_and_as_the_driver_warns() -> None:
    rules = {rule["alert"]: rule for rule in RULES}

    assert all(rule["labels"]["severity"] in {"warning", "critical"} for rule in RULES)
    assert all(name in (INFRA / "RUNBOOK.md").read_text() for name in rules)
    assert rules["KindredStraggler"]["expr"].endswith(f"> {SLOW:g}")


def test_kubernetes_has_the_same_alerts_and_every_ray_pod() -> None:
    assert {kind: each["apiVersion"] for kind, each in KUBERNETES.items()} == {
        "PodMonitor": "monitoring.coreos.com/v1",
        "PrometheusRule": "monitoring.coreos.com/v1",
    }
    assert KUBERNETES["PrometheusRule"]["spec"] == ALERTS
    monitor = KUBERNETES["PodMonitor"]["spec"]
    assert monitor["selector"]["matchLabels"] == {"ray.io/is-ray-node": "yes"}
    assert [endpoint["port"] for endpoint in monitor["podMetricsEndpoints"]] == ["metrics"]
