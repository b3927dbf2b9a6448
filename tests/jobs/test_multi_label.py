"""Sets of tags in a label column of a tiny run: predicted beside the controls, with the label or without one."""

import csv
from pathlib import Path
from typing import cast

import pytest

from jobs.assemble import open_dataset, source_of
from jobs.evaluate import evaluate
from jobs.multi_label import multi_label_tasks
from jobs.probe import probe
from jobs.report import report
from jobs.stored_gains import stored_gains
from pipeline.errors import DataError, Problems
from tests.jobs.tiny_run import context_of, finish

TAGS = [
    "data.ingest.labels={activity: activity, tags: tags}",
    "objectives=[{kind: cross}]",
    "relations={}",
    "multi_label.targets=[tags]",
]


def with_tags(folder: Path) -> list[str]:
    """Overrides for a run whose raw records have tags: the activity and the device; the first record has none."""
    finish(context_of(folder), "ingest")
    records = folder / "raw" / "records.csv"
    rows = list(csv.DictReader(records.open()))
    for number, row in enumerate(rows):
        row["tags"] = f"{row['activity']}; {row['device']}" if number else ";"
    with records.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return [*TAGS, "data.generate=null", f"data.root={folder / 'raw'}", f"data.path={folder / 'tagged'}"]


@pytest.mark.parametrize("label", ["activity", "null"])
def test_tags_are_probed_beside_the_controls(tmp_path: Path, label: str) -> None:
    context = context_of(tmp_path / "run", *with_tags(tmp_path / "run"), f"label={label}")
    for stage in ("ingest", "pretrain", "probe"):
        finish(context, stage)

    metrics = cast(dict[str, float], context.folder.metrics(["probe"]))
    for source, subset in (("probe", "imu"), ("features", "fused"), ("random_init", "imu"), ("metadata", "fused")):
        for figure in ("map", "f1_macro", "f1_micro", "subset_accuracy", "f1_macro_low", "map_low"):
            assert f"multi_label/tags/{source}/{subset}/100/{figure}" in metrics
    assert ("probe/fused/linear/100/accuracy" in metrics) == (label != "null")
    assert {gain.subset for gain in stored_gains(context.folder) if gain.target == "tags"} == {"imu", "fused"}
    (task,) = multi_label_tasks(context.recipe, open_dataset(source_of(context.recipe)))
    assert task.known.all()
    assert (~task.tags.any(axis=1)).sum() == 1, "the record whose cell is the separator alone"
    found = evaluate(context)
    assert found["differing"] == []
    assert "evaluate/multi_label/tags/probe/imu/100/map" in cast(dict[str, float], found["metrics"])
    report(context)
    assert "<h2>Sets of tags" in (tmp_path / "run" / "report.html").read_text()


def test_classes_are_sets_of_one_tag_and_an_unknown_column_is_refused(folder: Path) -> None:
    context = context_of(folder, "multi_label={targets: [activity], separator: '|'}")
    dataset = open_dataset(source_of(context.recipe))
    assert multi_label_tasks(context.recipe, dataset)[0].tags.sum(axis=1).max() == 1
    with pytest.raises(DataError, match=r"the data set has no multi_label\.targets 'acts'"):
        probe(context_of(folder, "data.ingest=null", "multi_label.targets=[acts]"))


def test_targets_are_label_columns(tmp_path: Path) -> None:
    with pytest.raises(Problems, match=r"multi_label\.targets 'tag_' is none of .* did you mean tag"):
        context_of(tmp_path, "multi_label.targets=[tag_]")
