"""The preflight report: figures, JSON, metric names; and the relations nobody had to name."""

import json

import numpy as np
import pytest

from pipeline.relations.build import build_relation
from pipeline.relations.config import SameRelation, TemporalRelation
from pipeline.relations.defaults import default_relations
from pipeline.relations.report import RelationReport, relation_report
from pipeline.relations.samples import Samples
from tests.pipeline.relations.small_index import small_index, train_rows

NUMBER = np.arange(64)
INDEX = small_index(
    64,
    groups={"device": [f"d{n % 4}" for n in NUMBER], "site": ["x"] * 64, "session": [f"s{n // 16}" for n in NUMBER]},
    classes={"activity": (NUMBER // 4 % 8).tolist()},
    start_s=(NUMBER * 2.0).tolist(),
    split=["train"] * 63 + ["test"],
)
SAMPLES = Samples("gear", INDEX, train_rows(INDEX))


def report(column: str) -> RelationReport:
    config = SameRelation(column=column)
    return relation_report(config, build_relation("gear", config, INDEX, SAMPLES.rows), SAMPLES)


def test_figures_of_a_small_relation() -> None:
    found = report("device")

    # 63 training samples: three devices with 16, one with 15.
    assert (found.num_samples, found.num_links, found.max_degree) == (63, 3 * 120 + 105, 15)
    assert found.mean_degree == pytest.approx(2 * 465 / 63)
    assert (found.isolated_share, found.components.count, found.components.largest) == (0.0, 4, 16)
    assert [column.column for column in found.columns] == ["activity", "device", "site", "session"]
    assert found.verdict.is_nuisance


def test_a_report_is_json_and_what_is_undefined_is_null() -> None:
    document = json.loads(json.dumps(report("device").to_json(), allow_nan=False))

    assert document["columns"]["device"]["consistency"]["node"] == 1.0
    assert document["columns"]["site"]["lift"] is None
    assert document["verdict"]["encodes"] == "nuisance"
    assert document["findings"]["isolated"] == 0


def test_metrics_have_the_contract_s_names() -> None:
    metrics = report("device").metrics()

    for name in ("consistency_node", "consistency_edge", "consistency_majority", "chance"):
        assert 0 <= metrics[f"relations/gear/activity/{name}"] <= 1
    assert metrics["relations/gear/mean_degree"] == pytest.approx(2 * 465 / 63)


def test_default_relations_are_the_groups_and_closeness_in_time() -> None:
    found = default_relations(SAMPLES)

    assert list(found) == ["same_device", "same_site", "same_session", "temporal"]
    # Raw records hold one sample each; devices and sessions are equally many, and the former come first.
    assert found["temporal"] == TemporalRelation(within_s=12.0, column="device")


def test_data_without_times_has_no_closeness_in_time() -> None:
    index = small_index(4, groups={"site": ["x", "x", "y", ""]})

    assert list(default_relations(Samples("default", index, train_rows(index)))) == ["same_site"]
