"""Targets beside the label in the fine-tune stage of a tiny run: what is trained, on whose labels, and what is said."""

import io
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from jobs._console import Console
from jobs._multi_label_table import show_multi_label
from jobs._regression_table import show_regression
from jobs.assemble import open_dataset, source_of
from jobs.finetune import finetune
from jobs.finetune_targets import learnable_targets, shown_labels
from jobs.pretrained import pretrained_encoders
from jobs.report import report
from jobs.stages import STAGES
from jobs.stored_gains import stored_gains
from jobs.tuned import tuned_classifier
from pipeline.errors import ConfigError, DataError
from pipeline.evaluate.gain import read_gains
from pipeline.evaluate.label_fractions import label_draws
from pipeline.evaluate.multi_label_lines import multi_label_lines
from pipeline.evaluate.regression_lines import regression_lines
from pipeline.tracking import history, read_spool
from tests.jobs.test_finetune import encoders_in
from tests.jobs.test_regression import LENGTH
from tests.jobs.tiny_run import context_of, finish

QUICK = "finetune.epochs=1"
SOURCES = ("finetune", "supervised")
TAGS = "multi_label={targets: [activity], separator: '|'}"


def test_a_number_without_a_label_is_trained_beside_its_control(tmp_path: Path) -> None:
    options = [
        *LENGTH,
        "label=null",
        "regression.targets=[length]",
        "finetune.percents=[50]",
        "finetune.blocks=0",
        QUICK,
    ]
    context = context_of(tmp_path / "run", *options)
    for stage in ("ingest", "pretrain", "finetune"):
        finish(context, stage)

    result = context.folder.result("finetune") or {}
    metrics = cast(dict[str, float], result["metrics"])
    for source in SOURCES:
        for figure in ("r2", "r2_low", "r2_high", "mae", "mae_low", "mae_high"):
            assert f"regression/length/{source}/fused/50/{figure}" in metrics
    assert all(name.startswith("regression/length/") for name in metrics)
    (gain,) = stored_gains(context.folder)
    assert (gain.method, gain.target, gain.subset, gain.control) == ("regression", "length", "fused", "supervised")
    tuned, scratch = (metrics[f"regression/length/{source}/fused/50/r2"] for source in SOURCES)
    assert metrics["regression/length/finetune/fused/50/gain"] == gain.difference
    assert gain.difference == pytest.approx(tuned - scratch, abs=1e-4)
    before = pretrained_encoders(context.recipe, context.folder)
    kept, control = (
        encoders_in(tmp_path / "run" / "finetune" / f"{method}-regression-length-50") for method in SOURCES
    )
    assert all(kept[name].equal(tensor) for name, tensor in before.items()), "the output alone is trained"
    assert any(not control[name].equal(tensor) for name, tensor in before.items())
    weights = cast(dict[str, dict[str, dict[str, int]]], result["targets"])["regression/length"]["50"]
    assert weights["matched"] == len(before)
    assert weights["validation_samples"] > 0
    assert tuned_classifier(context.folder, None) is None, "no classes, no head to export"

    again = STAGES["finetune"].body(context)
    assert again["metrics"] == metrics, "what is trained is scored, not trained again"
    assert again["gains"] == result["gains"]
    report(context)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "<h2>Regression" in page
    assert "Supervised from scratch" in page
    assert "<li>No interval for fine-tuning on length at 50 % labels: R2 " in page, "two test groups cannot tell"
    text = io.StringIO()
    show_regression(Console(text), regression_lines(metrics), title="numbers")
    row = text.getvalue().splitlines()[-1].split()
    assert row == ["length", "fused", "50", "%", f"{tuned:.3f}", f"{scratch:.3f}"], "nothing was probed"


def test_tags_beside_the_label_leave_its_results_as_they_are(folder: Path) -> None:
    alone = finetune(context_of(folder, QUICK, "finetune.supervised_control=false"))
    (folder / "finetune").rename(folder / "alone")

    context = context_of(folder, QUICK, TAGS)
    finish(context, "finetune")

    result = context.folder.result("finetune") or {}
    metrics = cast(dict[str, float], result["metrics"])
    assert "targets" not in alone
    assert alone["weights"] == result["weights"]
    assert cast(dict[str, float], alone["metrics"]).items() <= metrics.items()
    for source in SOURCES:
        for figure in ("map", "map_low", "f1_macro", "f1_macro_low", "f1_micro", "subset_accuracy"):
            assert f"multi_label/activity/{source}/fused/100/{figure}" in metrics
    of_label, of_tags = read_gains(result["gains"])
    assert (of_label.method, of_tags.method, of_tags.control) == ("finetune", "multi_label", "supervised")
    tuned, scratch = (metrics[f"multi_label/activity/{name}/fused/100/subset_accuracy"] for name in SOURCES)
    assert of_tags.difference == pytest.approx(tuned - scratch, abs=1e-6)
    assert "finetune-multi_label-activity-100/loss/binary_cross_entropy" in context.spool.path.read_text()
    text = io.StringIO()
    show_multi_label(Console(text), multi_label_lines(metrics), title="tags")
    shown = [f"{metrics[f'multi_label/activity/{source}/fused/100/map']:.3f}" for source in SOURCES]
    assert text.getvalue().splitlines()[-1].split() == ["activity", "fused", "100", "%", *shown]


def test_training_is_shown_the_first_draw_of_the_probes_of_the_target(folder: Path) -> None:
    recipe = context_of(folder, TAGS).recipe
    dataset = open_dataset(source_of(recipe))
    (target,) = learnable_targets(recipe, dataset)

    found, every = (shown_labels(target, dataset, percent, seed=recipe.seed) for percent in (50, 100))

    labelled = target.labelled(target.train)
    probed = label_draws(np.zeros(len(labelled), np.int64), percent=50, draws=2, seed=recipe.seed)
    assert found.train.tolist() == labelled[probed[0].rows].tolist()
    assert every.train.tolist() == labelled.tolist()
    assert len(found.validation) == len(every.validation) // 2 > 0


def test_the_weights_of_the_best_epoch_are_scored(folder: Path) -> None:
    options = ["patience=1", "epochs=6", "optim.learning_rate=0.3", "supervised_control=false"]
    context = context_of(folder, "label=null", TAGS, *(f"finetune.{option}" for option in options))

    metrics = cast(dict[str, float], finetune(context)["metrics"])

    records, _ = read_spool(context.spool.path)
    losses = [value for _, value in history(records)["finetune-multi_label-activity-100/loss/validation"]]
    assert metrics["multi_label/activity/finetune/fused/100/best_epoch"] == 1 + int(np.argmin(losses))
    assert len(losses) == min(6, 2 + int(np.argmin(losses)))


def test_what_cannot_be_trained_is_said_before_anything_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"the data set has no multi_label\.targets 'acts'"):
        finetune(context_of(folder, "data.ingest=null", "multi_label.targets=[acts]"))
    with pytest.raises(DataError, match="label activity is no column of numbers"):
        finetune(context_of(folder, "regression.targets=[activity]"))
    assert not (folder / "finetune" / "finetune-100").exists()
    with pytest.raises(ConfigError, match=r"finetune\.micro_batches"):
        finetune(context_of(folder, "label=null", TAGS, "finetune.percents=[2]", "finetune.micro_batches=4"))


def test_another_target_is_another_fine_tuning_and_none_is_the_same_as_ever(folder: Path) -> None:
    plain, tagged = context_of(folder), context_of(folder, TAGS)

    of_plain, of_tagged = (STAGES["finetune"].identity(each.recipe, each.folder) for each in (plain, tagged))

    assert of_plain.keys() == {"state_hash", "manifest", "seed", "label", "subject", "leak", "finetune"}
    assert of_tagged == {**of_plain, "multi_label": {"targets": ["activity"], "separator": "|"}}
    assert finetune(context_of(folder, "label=null"))["metrics"] == {}
