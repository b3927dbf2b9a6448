"""MiniRocket features as a further control of a tiny run, by configuration."""

from pathlib import Path
from typing import cast

import numpy as np
import pytest

from jobs.assemble import open_dataset, source_of
from jobs.evaluate import evaluate
from jobs.probe import probe
from jobs.report import report
from jobs.stored_tables import stored_tables
from pipeline.errors import Problems
from tests.jobs.tiny_run import context_of

ASKED = "probe.mini_rocket.num_features=168"


def test_it_stands_beside_the_other_controls_in_every_table(folder: Path) -> None:
    context = context_of(folder, ASKED)
    found = probe(context)
    context.folder.finish("probe", found)
    metrics = cast(dict[str, float], found["metrics"])

    assert {f"control/mini_rocket/{subset}/100/accuracy" for subset in ("imu", "fused")} < metrics.keys()
    tables, dataset = stored_tables(context.folder), open_dataset(source_of(context.recipe))
    features = tables["mini_rocket"].values["imu"]
    assert features.shape == (len(dataset.index), 168)
    assert ((features >= 0) & (features <= 1)).all()
    for stream in ("photo", "note"):
        np.testing.assert_array_equal(tables["mini_rocket"].values[stream], tables["features"].values[stream])
    evaluated = evaluate(context)
    assert evaluated["differing"] == []
    assert "evaluate/retrieval/mini_rocket/fused/map" in cast(dict[str, float], evaluated["metrics"])
    context.folder.finish("evaluate", evaluated)
    report(context)
    page = (folder / "report.html").read_text()
    assert page.count("MiniRocket features</th>") == 1
    assert "MiniRocket features</td>" in page


def test_a_run_without_it_has_no_column_of_it(folder: Path) -> None:
    context = context_of(folder)
    context.folder.finish("probe", probe(context))
    context.folder.finish("evaluate", evaluate(context))
    report(context)

    assert "mini_rocket" not in stored_tables(context.folder)
    assert "MiniRocket" not in (folder / "report.html").read_text()


def test_a_recipe_without_a_sensor_has_no_use_for_it(tmp_path: Path) -> None:
    streams = "streams={note: {kind: text, encoder: {kind: bert, width: 16, depth: 1, heads: 2}}}"
    with pytest.raises(Problems, match=r"probe\.mini_rocket reads sensor streams"):
        context_of(tmp_path, ASKED, streams, "subsets=null")
