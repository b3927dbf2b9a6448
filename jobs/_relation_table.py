"""Relations on the console: one aligned row each, and what each encodes in a sentence."""

from collections.abc import Mapping

from pydantic import JsonValue

from jobs._console import Cells, Console, plain_table
from pipeline.evaluate.relation_summary import (
    COUNTED,
    ColumnConsistency,
    RelationSummary,
    read_relations,
    relation_columns,
)


def show_relations(console: Console, reports: Mapping[str, JsonValue], *, title: str) -> None:
    """Print reports by name, as `RelationReport.to_json` gives them; each column's consistency stands before chance."""
    found = read_relations(dict(reports))
    columns = relation_columns(found)
    header = ("relation", "kind", "links", "mean degree", "isolated", "components", *columns)
    console.line(title)
    for line in plain_table([header, *(_cells(name, report, columns) for name, report in found.items())]).split("\n"):
        console.line(line)
    for name, report in found.items():
        console.line(f"{name} {report.sentence}")
        if report.findings.get("uses_label"):
            console.line(f"  {name} is built from a label: what it encodes of it is no evidence")
        for key, text in COUNTED.items():
            if number := report.findings.get(key):
                console.line(f"  {number} {text}")
        if report.is_nuisance:
            console.line(f"warning: {name} says nothing about any label: training on it teaches the groups it encodes")


def _cells(name: str, report: RelationSummary, columns: list[str]) -> Cells:
    return (
        name,
        report.kind,
        str(report.num_links),
        f"{report.mean_degree:.1f}",
        f"{100 * report.isolated_share:.1f} %",
        str(report.components["count"]),
        *(_figures(report.columns[column]) if column in report.columns else "" for column in columns),
    )


def _figures(column: ColumnConsistency) -> str:
    node = column.consistency["node"]
    return "" if node is None or column.chance is None else f"{node:.2f} ({column.chance:.2f})"
