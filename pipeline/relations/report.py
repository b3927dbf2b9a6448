"""The preflight report of a relation: how large it is, how it falls apart, and what it encodes."""

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from pydantic import JsonValue

from pipeline.relations.built import Built, Findings
from pipeline.relations.components import Components, components
from pipeline.relations.config import AnyRelation
from pipeline.relations.local_consistency import local_consistency
from pipeline.relations.samples import Samples
from pipeline.relations.verdict import ColumnFinding, Verdict, judge_column, verdict


@dataclass(frozen=True)
class RelationReport:
    """Statistics of one relation over the pretraining split.

    num_links: each link once. isolated_share: of samples without a neighbour. columns: labels first, then groups.
    """

    name: str
    kind: str
    num_samples: int
    num_links: int
    mean_degree: float
    max_degree: int
    isolated_share: float
    components: Components
    findings: Findings
    columns: tuple[ColumnFinding, ...]
    verdict: Verdict

    def to_json(self) -> dict[str, JsonValue]:
        """Plain values; what is not defined is null."""
        document = dataclasses.asdict(self)
        document["columns"] = {column.pop("column"): column for column in document["columns"]}
        document["verdict"]["is_nuisance"] = self.verdict.is_nuisance
        plain = _plain(document)
        return plain if isinstance(plain, dict) else {}

    def metrics(self) -> dict[str, float]:
        """Flat names `relations/<relation>/<column>/<figure>`, and those of the relation itself without a column."""
        start = f"relations/{self.name}"
        found = {
            f"{start}/mean_degree": self.mean_degree,
            f"{start}/isolated_share": self.isolated_share,
            f"{start}/num_links": float(self.num_links),
            f"{start}/components": float(self.components.count),
        }
        for column in self.columns:
            values = column.consistency
            found |= {
                f"{start}/{column.column}/consistency_node": values.node,
                f"{start}/{column.column}/consistency_edge": values.edge,
                f"{start}/{column.column}/consistency_majority": values.majority,
                f"{start}/{column.column}/chance": column.chance,
            }
        return {name: value for name, value in found.items() if math.isfinite(value)}


def relation_report(config: AnyRelation, built: Built, samples: Samples) -> RelationReport:
    """Judge a relation by every label and group column of the samples it was built over."""
    relation, index = built.relation, samples.index
    names = [*index.classes, *(name for name in index.groups if name not in index.classes)]
    columns = []
    for name in names:
        labels = samples.numbers(name, key="column", labels=True)
        consistency = local_consistency(relation, labels)
        columns.append(judge_column(name, consistency, labels, is_label=samples.is_label(name)))
    degree = relation.degree()
    return RelationReport(
        name=samples.name,
        kind=config.kind,
        num_samples=relation.num_nodes,
        num_links=relation.num_links // 2,
        mean_degree=float(degree.mean()) if len(degree) else 0.0,
        max_degree=int(degree.max(initial=0)),
        isolated_share=float(np.mean(degree == 0)) if len(degree) else 0.0,
        components=components(relation),
        findings=built.findings,
        columns=tuple(columns),
        verdict=verdict(columns),
    )


def _plain(value: object) -> JsonValue:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | bool) else None
