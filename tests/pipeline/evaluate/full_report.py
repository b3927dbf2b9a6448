"""The data of a report in which every part has something to show."""

import re

import numpy as np

from pipeline.evaluate.cluster_agreement import Agreement, SpaceSummary
from pipeline.evaluate.cluster_browser import ClusterBrowser
from pipeline.evaluate.cluster_choice import ChosenCluster
from pipeline.evaluate.figures import Confusion, EmbeddingMap
from pipeline.evaluate.multi_label_lines import MultiLabelFigure, MultiLabelLine
from pipeline.evaluate.regression_lines import RegressionFigure, RegressionLine
from pipeline.evaluate.relation_summary import ColumnConsistency, RelationSummary
from pipeline.evaluate.report import ReportData
from pipeline.evaluate.results import ResultRow
from pipeline.evaluate.retrieval_browser import RetrievalBrowser
from pipeline.evaluate.retrieval_examples import Neighbour, RetrievalExample, RetrievalExamples
from pipeline.evaluate.sample_sheet import Sample
from pipeline.evaluate.sequence_lines import SEQUENCE_SCORES, SequenceLine
from pipeline.evaluate.shown_streams import Texts


def rows() -> list[ResultRow]:
    return [
        ResultRow("linear", "fused", 1, 0.5, sd=0.02, shots=2),
        ResultRow("linear", "fused", 100, 0.912, low=0.9, high=0.925, f1=0.907),
        ResultRow("features", "fused", 100, 0.7),
        ResultRow("metadata", "fused", 100, 0.95),
        ResultRow("linear", "imu", 100, 0.8),
    ]


def summary(space: str, column: str, *, ami: float = 0.62) -> SpaceSummary:
    label = Agreement("activity", "label", 9, 3, 0.4, 0.31)
    unknown = Agreement("site", "group", 0, 0, None, None)
    return SpaceSummary(space, 2, (6, 2, 1), (label, Agreement(column, "group", 9, 3, 0.7, ami), unknown))


def browser(name: str) -> ClusterBrowser:
    cluster = ChosenCluster(3, ("largest",), 6, 0.6, name, 0.5, (4,))
    return ClusterBrowser(name, [cluster], [Sample(name, name, name)], {name: Texts([name], np.ones(1, bool))})


def retrieval(name: str) -> RetrievalBrowser:
    example = RetrievalExample(0, 2, 7, (Neighbour(1, 0.5, False, False),))
    samples = [Sample(name, name, name)] * 2
    return RetrievalBrowser(
        RetrievalExamples((name,), ("imu",), (example,)), samples, {name: Texts([name] * 2, np.ones(2, bool))}
    )


def relation(column: str, *, is_nuisance: bool = True) -> RelationSummary:
    values: dict[str, float | None] = {"node": 0.98, "edge": 0.5, "majority": 0.25}
    return RelationSummary(
        kind="same",
        num_links=480,
        mean_degree=15.0,
        isolated_share=0.125,
        components={"count": 4, "largest": 16},
        findings={"uses_label": False, "outside": 3, "duplicates": 0},
        columns={
            column: ColumnConsistency(is_label=False, consistency=values, chance=0.25, level="encodes"),
            "site": ColumnConsistency(is_label=False, consistency={"node": None}, chance=1.0, level="undefined"),
        },
        verdict={"encodes": "nuisance", "sentence": f"encodes {column}", "is_nuisance": is_nuisance},
    )


def full(name: str = "demo") -> ReportData:
    return ReportData(
        title=name,
        description=name,
        rows=rows(),
        regression=[
            RegressionLine(name, name, 10, {"probe": RegressionFigure(0.5, -0.25, 0.75, 1.2)}),
            RegressionLine(
                "effort",
                "fused",
                100,
                {source: RegressionFigure(0.9, None, None, 0.31) for source in ("metadata", "probe", "features")},
            ),
        ],
        multi_label=[
            MultiLabelLine(
                name, name, 10, {"probe": MultiLabelFigure(0.75, (0.7, 0.8), 0.5, (0.25, 0.625), 0.7, 0.125)}
            )
        ],
        sequence=[
            SequenceLine(name, "imu", 50, {score: {"probe": 0.75, "raw": 0.5} for score in SEQUENCE_SCORES}, (0.7, 0.8))
        ],
        history={"pretrain/loss/total": [(1, 1.0), (2, 0.5)], f"pretrain/health/{name}/std": [(1, 1.0)]},
        maps=[EmbeddingMap(name, np.eye(2), {"label": [name, "b"], name: ["c", "d"]})],
        confusions=[Confusion(name, np.eye(2, dtype=int), [name, "b"])],
        chance=0.25,
        label="activity",
        pseudo_labels=[summary(name, name)],
        browsers=[browser(name)],
        retrievals=[retrieval(name)],
        relations={name: relation(name)},
        warnings=[name],
        provenance={name: name},
        config=f"name: {name}",
    )


def lines_of(html: str, heading: str) -> list[str]:
    """Table rows of a section as words."""
    section = html.split(f"<h2>{heading}</h2>")[1].split("</section>")[0]
    rows = re.findall(r"<tr.*?</tr>", section, re.DOTALL)
    return [" ".join(re.sub(r"<[^>]+>", " ", row).split()) for row in rows]
