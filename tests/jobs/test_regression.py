"""Numbers in a label column of a tiny run: the probe stage reads them, refuses what is no number, and shows both."""

from pathlib import Path
from typing import cast

import pytest

from jobs.evaluate import evaluate
from jobs.probe import probe
from jobs.report import report
from pipeline.errors import DataError, Problems
from tests.jobs.tiny_run import context_of, finish

LENGTH = [
    "data.generate.missing_imu=0",
    "data.ingest.labels={activity: activity, length: length_s}",
    "objectives=[{kind: cross}]",
    "relations={}",
]


def test_numbers_are_probed_beside_the_controls_and_refused_where_they_are_none(tmp_path: Path) -> None:
    context = context_of(tmp_path / "run", *LENGTH, "regression.targets=[length]")
    for stage in ("ingest", "pretrain", "probe"):
        finish(context, stage)

    metrics = cast(dict[str, float], context.folder.metrics(["probe"]))
    for source, subset in (("probe", "imu"), ("features", "fused"), ("random_init", "imu"), ("metadata", "fused")):
        assert f"regression/length/{source}/{subset}/100/r2" in metrics
    assert metrics["regression/length/metadata/fused/100/r2"] > 0.9, "a record's end minus its start is its length"
    found = evaluate(context)
    assert found["differing"] == []
    assert "evaluate/regression/length/probe/imu/100/mae" in cast(dict[str, float], found["metrics"])
    report(context)
    assert "<h2>Regression" in (tmp_path / "run" / "report.html").read_text()
    with pytest.raises(DataError, match="label activity is no column of numbers"):
        probe(context_of(tmp_path / "run", *LENGTH, "regression.targets=[activity]"))


def test_targets_are_label_columns_beside_a_label(tmp_path: Path) -> None:
    with pytest.raises(Problems, match=r"regression\.targets 'lenth' is none of .* did you mean length"):
        context_of(tmp_path, *LENGTH, "regression.targets=[lenth]")
    with pytest.raises(Problems, match="regression needs a label"):
        context_of(tmp_path, *LENGTH, "regression.targets=[length]", "label=null")
