"""The metrics that the dashboard and the alerts ask Prometheus for."""

import json
import re
from pathlib import Path

import yaml

MONITORING = Path(__file__).parents[2] / "infra" / "monitoring"
DASHBOARD = json.loads((MONITORING / "grafana" / "dashboards" / "kindred.json").read_text())
ALERTS = yaml.safe_load((MONITORING / "alerts.yaml").read_text())
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]

_NO_METRIC = r"""\{[^}]*\}|\[[^\]]*\]|"[^"]*"|\b(by|on|without|ignoring)\s*\([^)]*\)|\b(and|or|unless|bool)\b"""


def metrics_of(expression: str) -> set[str]:
    """Names in PromQL that are neither functions nor operators nor labels."""
    return set(re.findall(r"\b[a-zA-Z_]\w*\b(?!\s*\()", re.sub(_NO_METRIC, " ", expression)))


def expressions() -> list[str]:
    """Of every panel, of the dashboard's variables and of every alert."""
    panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
    variables = [variable["query"]["query"] for variable in DASHBOARD["templating"]["list"]]
    listed = [re.sub(r"label_values\((.*), \w+\)", r"\1", variable) for variable in variables]
    return panels + listed + [rule["expr"] for rule in RULES]


def named_metrics() -> set[str]:
    """All that are asked for, without Prometheus' own."""
    return set().union(*map(metrics_of, expressions())) - {"ALERTS"}
