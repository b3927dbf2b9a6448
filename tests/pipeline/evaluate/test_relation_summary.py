import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.evaluate.relation_summary import read_relations, relation_columns
from pipeline.relations.build import build_relation
from pipeline.relations.config import AnyRelation, SameRelation
from pipeline.relations.report import relation_report
from pipeline.relations.samples import Samples
from tests.pipeline.relations.small_index import small_index, train_rows

NUMBER = np.arange(64)
INDEX = small_index(
    64,
    groups={"device": [f"d{n % 4}" for n in NUMBER], "session": [f"s{n // 16}" if n else "" for n in NUMBER]},
    classes={"activity": (NUMBER // 4 % 8).tolist()},
)


def written(**configs: AnyRelation) -> dict:
    """What the relations stage leaves behind."""
    rows = train_rows(INDEX)
    return {
        name: relation_report(
            config,
            build_relation(name, config, INDEX, rows),
            Samples(name, INDEX, rows),
        ).to_json()
        for name, config in configs.items()
    }


def test_what_the_stage_writes_is_read() -> None:
    found = read_relations(written(gear=SameRelation(column="device"), day=SameRelation(column="session")))

    gear = found["gear"]
    assert (gear.kind, gear.num_links, gear.mean_degree, gear.components) == (
        "same",
        480,
        15,
        {"count": 4, "largest": 16},
    )
    assert gear.columns["device"].consistency["node"] == 1
    assert gear.columns["device"].level == "encodes"
    assert gear.columns["activity"].is_label
    assert gear.sentence.startswith("encodes device (consistency 1.00")
    assert gear.is_nuisance
    assert gear.notes() == []
    assert found["day"].notes() == ["1 samples lack a value"]
    assert relation_columns(found) == ["activity", "device", "session"]


def test_a_relation_that_was_built_from_a_label_says_so() -> None:
    found = read_relations(written(task=SameRelation(column="activity")))

    assert found["task"].notes() == ["it is built from a label: what it encodes of it is no evidence"]
    assert not found["task"].is_nuisance


def test_no_relations_are_none() -> None:
    assert read_relations(None) == {}
    with pytest.raises(ValidationError):
        read_relations({"gear": {"kind": "same"}})
