"""The evaluate stage on what the probe stage of a tiny run stored, whose checkpoints are gone."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest

from jobs._console import Console
from jobs._evaluation_table import show_evaluation
from jobs._run_folder import numbers
from jobs.assemble import open_dataset, source_of
from jobs.evaluate import evaluate
from jobs.probe import probe
from jobs.report import report, report_data
from pipeline.errors import CheckpointError, DataError, OutputError
from pipeline.evaluate.evaluation import Evaluation
from pipeline.evaluate.features import read_features, write_features
from pipeline.evaluate.retrieval_browser import shown_samples
from tests.jobs.tiny_run import context_of, finish

FEW = "evaluate.few_shot={ways: 2, shots: [1], queries: 2, episodes: 20}"
ACROSS = ["evaluate.session=session", "evaluate.identity=activity", "evaluate.re_ranking={k1: 5, k2: 2}", FEW]


@pytest.fixture
def probed(folder: Path) -> Path:
    context = context_of(folder)
    context.folder.finish("probe", probe(context))
    shutil.rmtree(folder / "pretrain" / "checkpoints")
    return folder


def test_every_figure_of_the_probe_comes_back_without_a_model(probed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    context = context_of(probed, *ACROSS)
    found = evaluate(context)

    expected = numbers(context.folder.metrics(["probe"]))
    metrics = numbers(found["metrics"])  # pyright: ignore
    assert {f"probe/fused/{m}/100/accuracy" for m in ("linear", "knn")} <= expected.keys()
    assert {name: metrics[f"evaluate/{name}"] for name in expected} == expected
    assert (found["reproduced"], found["differing"]) == (len(expected), [])
    for name in (
        *(f"retrieval/{s}/{n}/map" for s in ("probe", "random_init", "features") for n in ("fused", "imu")),
        "retrieval/probe/fused/recall_at_1",
        "retrieval_re_ranked/probe/imu/minp",
        "cross_modal/probe/note-imu/recall_at_5",
        "cross_modal/features/photo-imu/map",
        "verification/probe/fused/eer",
        "verification/random_init/fused/far_0.1/tar",
        "few_shot/probe/fused/1_shot/inductive_low",
        "few_shot/features/fused/1_shot/transductive",
        "clustering/probe/imu/ami",
        "representation/probe/fused/uniformity",
        "representation/probe/imu-photo/cka",
        "representation/probe/note-untrained/cka",
    ):
        assert np.isfinite(metrics[f"evaluate/{name}"]), name
    assert all(np.isfinite(value) for value in metrics.values())
    printed = capsys.readouterr().err
    assert "Retrieval mAP" in printed
    assert "Hand-made features" in printed
    assert evaluate(context) == found


def test_what_the_samples_cannot_give_is_left_out_with_a_reason(
    probed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = evaluate(context_of(probed, "evaluate.session=session"))

    refused = found["refused"]
    assert isinstance(refused, dict)
    assert "no genuine pairs across recordings" in str(refused["verification/probe/fused"])
    assert "two recordings" in str(refused["identification/probe/fused"])
    assert "few_shot/probe/fused/5_shot" in refused
    assert "left out: verification/probe/fused: there are no genuine pairs" in capsys.readouterr().err


def test_the_report_shows_what_was_found_and_is_written_anew(probed: Path) -> None:
    context = context_of(probed, FEW)
    context.folder.finish("report", {"metrics": {}, **report(context)})
    assert "More than accuracy" not in (probed / "report.html").read_text()

    finish(context, "evaluate")

    assert context.folder.result("report") is None
    report(context)
    html, shown = (probed / "report.html").read_text(), report_data(context.recipe, context.folder)
    assert "More than accuracy" in html
    assert [row.title for row in shown.evaluation[:3]] == ["Retrieval R@1", "Retrieval R@5", "Retrieval R@10"]
    metrics = numbers(context.folder.metrics(["evaluate"]))
    value = metrics[f"evaluate/retrieval/features/{shown.evaluation[0].streams}/recall_at_1"]
    assert shown.evaluation[0].figures["features"].value == value
    assert f"{value:.3f}" in html
    assert "verification/probe/fused/far_0.001" in html, "what was left out"


def test_the_report_shows_neighbours_that_the_metric_ranks(probed: Path) -> None:
    context = context_of(probed, "evaluate.session=session", FEW)
    finish(context, "evaluate")

    shown = report_data(context.recipe, context.folder).retrievals

    dataset = open_dataset(source_of(context.recipe))
    index, (fused, *pairs) = dataset.index, shown
    test, activity = set(index.rows("test").tolist()), index.labels("activity")
    assert [(b.retrieval.asked, b.retrieval.found) for b in pairs] == [(("photo",), ("imu",)), (("note",), ("imu",))]
    assert set(fused.streams) == {"imu", "photo", "note"}
    assert set(pairs[0].streams) == {"photo", "imu"}
    for browser in shown:
        idx = shown_samples(browser.retrieval)
        assert set(idx) <= test
        assert [sample.key for sample in browser.samples] == index.key[idx].tolist()
    for example in fused.retrieval.examples:
        for found in example.neighbours:
            assert found.is_match == (activity[found.idx] == activity[example.idx])
            assert index.record[found.idx] != index.record[example.idx]
            same_session = index.group("session")[found.idx] == index.group("session")[example.idx]
            assert not (found.is_match and same_session), "found too easily"
    report(context)
    assert "<h2>Retrieval examples" in (probed / "report.html").read_text()
    assert '"figures/retrieval_fused.png"' in (probed / "tracking" / "test.jsonl").read_text()


def test_a_report_without_its_data_set_says_so(probed: Path) -> None:
    context = context_of(probed, FEW)
    finish(context, "evaluate")
    shutil.rmtree(probed / "data" / "shards")

    report(context)

    html = (probed / "report.html").read_text()
    assert "Samples cannot be shown, as they could not be read: DATA_CHANGED: the shard cannot be opened" in html
    assert "<h2>Retrieval examples" not in html
    assert "More than accuracy" in html


def test_a_table_of_something_else_or_none_is_refused(probed: Path) -> None:
    context, path = context_of(probed), probed / "probe" / "features.parquet"
    made = (context.folder.result("probe") or {})["tables"]
    table = read_features(path, encoder_hash=made["probe"])  # pyright: ignore

    write_features(table, path, encoder_hash="other")
    with pytest.raises(CheckpointError, match="FEATURES_STALE"):
        evaluate(context)
    path.unlink()
    with pytest.raises(DataError, match="FEATURES_MISSING"):
        evaluate(context)
    (probed / "probe" / "result.json").unlink()
    with pytest.raises(OutputError, match="OUT_NO_PROBE"):
        evaluate(context)


def test_other_features_under_the_same_name_are_noticed(probed: Path) -> None:
    context, path = context_of(probed, FEW), probed / "probe" / "features.parquet"
    made = (context.folder.result("probe") or {})["tables"]["probe"]  # pyright: ignore
    table = read_features(path, encoder_hash=made)
    shuffled = {name: np.roll(rows, 1, axis=0) * table.present[name][:, None] for name, rows in table.values.items()}
    write_features(type(table)(table.idx, shuffled, table.present), path, encoder_hash=made)

    found = evaluate(context)

    assert any(str(text).startswith("probe/fused/") for text in found["differing"])  # pyright: ignore


def test_a_recipe_without_a_label_is_skipped(folder: Path) -> None:
    context = context_of(folder, "label=null", "finetune=null")

    assert evaluate(context) == {"skipped": "the recipe has no label", "metrics": {}}


def test_the_table_puts_controls_beside_learned_features() -> None:
    stream = io.StringIO()
    metrics = {
        "retrieval/probe/fused/map": 0.5,
        "retrieval/probe/fused/map_low": 0.4,
        "retrieval/probe/fused/map_high": 0.625,
        "retrieval/random_init/fused/map": 0.25,
        "few_shot/features/fused/5_shot/inductive": 0.75,
    }

    show_evaluation(Console(stream), Evaluation(metrics, {"a/b": "too few"}), title="x")

    lines = [line.split() for line in stream.getvalue().splitlines()]
    assert lines[3] == ["Retrieval", "mAP", "fused", "0.500", "0.400", "-", "0.625", "0.250"]
    assert lines[4] == ["5-shot", "fused", "0.750"]
    assert " ".join(lines[5]) == "left out: a/b: too few"
