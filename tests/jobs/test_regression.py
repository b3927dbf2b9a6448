"""Numbers in a label column of a tiny run: the probe stage reads them, refuses what is no number, and shows both."""

from pathlib import Path
from typing import cast

import pytest

from jobs.evaluate import evaluate
from jobs.probe import probe
from jobs.report import report
from jobs.stored_gains import stored_gains
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


def test_a_recipe_may_have_targets_alone(tmp_path: Path) -> None:
    context = context_of(tmp_path / "run", *LENGTH, "regression.targets=[length]", "label=null")
    for stage in ("ingest", "pretrain", "probe"):
        finish(context, stage)

    result = context.folder.result("probe") or {}
    metrics = cast(dict[str, float], result["metrics"])
    assert "skipped" not in result
    assert "regression/length/probe/fused/100/r2" in metrics
    assert not [name for name in metrics if name.startswith(("probe/", "control/"))]
    best = max((metrics[f"regression/length/{c}/fused/100/r2"], c) for c in ("features", "random_init"))
    (gain,) = [gain for gain in stored_gains(context.folder) if gain.subset == "fused"]
    assert (gain.method, gain.target, gain.control) == ("regression", "length", best[1])
    own = metrics["regression/length/probe/fused/100/r2"]
    assert gain.difference == pytest.approx(own - best[0], abs=1e-4)
    assert metrics["regression/length/probe/fused/100/gain"] == gain.difference
    found = evaluate(context)
    assert found["differing"] == []
    assert "no sample has a label" in cast(dict[str, str], found["refused"])["classes/probe/fused"]
    assert [name for name in cast(dict[str, float], found["metrics"]) if "verification/probe/fused" in name]
    context.folder.finish("evaluate", found)
    report(context)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "<li>No interval for length at 100 % labels: R2 " in page, "two test groups cannot tell"
    assert "No probe has been run" not in page


def test_targets_are_label_columns(tmp_path: Path) -> None:
    with pytest.raises(Problems, match=r"regression\.targets 'lenth' is none of .* did you mean length"):
        context_of(tmp_path, *LENGTH, "regression.targets=[lenth]")
