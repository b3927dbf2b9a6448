"""The fine-tune stage of a tiny run: what it trains, on whose labels, and what it says about the result."""

import math
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch

from jobs._labelled_samples import labelled_samples
from jobs.assemble import open_dataset, source_of
from jobs.finetune import finetune
from jobs.pretrained import pretrained_encoders
from jobs.tuned import tuned_classifier
from pipeline.errors import ConfigError
from pipeline.evaluate.gain import read_gains
from pipeline.tracking import history, read_spool
from pipeline.train.checkpoint_store import CheckpointStore
from tests.jobs.tiny_run import context_of, finish

SCORES = ("accuracy", "accuracy_low", "accuracy_high", "balanced_accuracy", "f1_macro", "recall_min", "recall_p10")
CALIBRATION = ("nll", "ece", "nll_calibrated", "ece_calibrated", "temperature")


def test_the_head_alone_is_trained_and_everything_is_reported_beside_the_control(folder: Path) -> None:
    options = ["blocks=0", "balance=logit_adjustment", "loss=generalized_cross_entropy", "percents=[50]", "epochs=1"]
    context = context_of(folder, *(f"finetune.{option}" for option in options))

    found = finetune(context)

    metrics, weights = cast(dict[str, float], found["metrics"]), cast(dict[str, dict[str, object]], found["weights"])
    for prefix in ("finetune/50", "control/supervised/fused/50"):
        assert {f"{prefix}/{name}" for name in (*SCORES, *CALIBRATION)} <= metrics.keys()
        assert (
            metrics[f"{prefix}/recall_min"] <= metrics[f"{prefix}/recall_p10"] <= metrics[f"{prefix}/accuracy_high"] + 1
        )
    assert weights["50"]["temperature"] == metrics["finetune/50/temperature"]
    assert weights["50"]["validation_samples"] == 6
    before = pretrained_encoders(context.recipe, context.folder)
    tuned, control = (encoders_in(folder / "finetune" / name) for name in ("finetune-50", "supervised-50"))
    assert tuned.keys() == before.keys()
    assert all(tuned[name].equal(tensor) for name, tensor in before.items())
    assert any(not control[name].equal(tensor) for name, tensor in before.items())
    (gain,) = read_gains(found["gains"])
    accuracies = (metrics[f"{prefix}/accuracy"] for prefix in ("finetune/50", "control/supervised/fused/50"))
    assert gain.difference == metrics["finetune/50/gain"] == pytest.approx(np.subtract(*accuracies), abs=1e-6)
    assert (gain.control, gain.finding) == ("supervised", "untested"), "two test subjects tell nothing"
    logged = context.spool.path.read_text()
    assert "finetune-50/loss/generalized_cross_entropy" in logged


def test_few_labels_are_passed_over_as_long_as_many(folder: Path) -> None:
    options = ["percents=[50, 100]", "epochs=2", "min_steps=9", "batch_size=4", "supervised_control=false"]
    context = context_of(folder, *(f"finetune.{option}" for option in options))
    dataset = open_dataset(source_of(context.recipe))
    half, whole = (len(labelled_samples(context.recipe, dataset, percent).train) // 4 for percent in (50, 100))
    assert 2 * half < 9 < 2 * whole

    finetune(context)

    steps = [steps_of(folder / "finetune" / f"finetune-{percent}") for percent in (50, 100)]
    assert steps == [math.ceil(9 / half) * half, 2 * whole]


def steps_of(folder: Path) -> int:
    checkpoint = CheckpointStore(folder / "checkpoints").newest()
    assert checkpoint is not None
    return checkpoint.step


def encoders_in(folder: Path) -> dict[str, torch.Tensor]:
    checkpoint = CheckpointStore(folder / "checkpoints").newest()
    assert checkpoint is not None
    tensors = dict(checkpoint.part("model"))
    return {name.removeprefix("encoders."): t for name, t in tensors.items() if name.startswith("encoders.")}


def test_the_weights_of_the_best_epoch_are_scored_and_exported(folder: Path) -> None:
    options = ["patience=1", "epochs=8", "optim.learning_rate=0.3", "supervised_control=false"]
    context = context_of(folder, *(f"finetune.{option}" for option in options))
    finish(context, "finetune")

    records, _ = read_spool(context.spool.path)
    losses = [value for _, value in history(records)["finetune-100/loss/validation"]]
    checkpoint = CheckpointStore(folder / "finetune" / "finetune-100" / "checkpoints").newest()
    tuned = tuned_classifier(context.folder, None)
    assert checkpoint is not None
    assert tuned is not None
    assert context.folder.metrics(["finetune"])["finetune/100/best_epoch"] == 1 + int(np.argmin(losses))
    assert len(losses) == min(8, 2 + int(np.argmin(losses)))
    assert all(tuned[1][name].equal(tensor) for name, tensor in checkpoint.part("best").items())
    assert not tuned[1]["head.weight"].equal(checkpoint.part("model")["head.weight"])


def test_few_labels_are_few_in_every_split_that_training_sees(folder: Path) -> None:
    recipe = context_of(folder).recipe
    dataset = open_dataset(source_of(recipe))
    index = dataset.index

    found, every = labelled_samples(recipe, dataset, 50), labelled_samples(recipe, dataset, 100)

    for split in ("train", "validation", "test"):
        rows = index.rows(split)
        assert getattr(every, split).tolist() == rows[index.labels("activity")[rows] >= 0].tolist()
    assert (len(found.train), len(found.validation)) == (len(every.train) // 2, len(every.validation) // 2)
    assert found.test.tolist() == every.test.tolist()
    assert found.test_groups is not None
    assert found.test_groups.tolist() == index.group("subject")[found.test].tolist()
    assert found.class_counts().tolist() == np.bincount(index.labels("activity")[found.train], minlength=4).tolist()

    unlabelled = np.where(index.split == "validation", -1, index.labels("activity"))
    hidden = replace(dataset, index=replace(index, classes={**index.classes, "activity": unlabelled}))
    assert len(labelled_samples(recipe, hidden, 50).validation) == 0


def test_without_a_validation_split_nothing_is_calibrated_and_the_model_says_so(tmp_path: Path) -> None:
    quick = ["objectives=[{kind: cross}]", "relations={}", "finetune.epochs=1", "finetune.supervised_control=false"]
    split = ["data.ingest.split.fractions={test: 0.34}"]
    context = context_of(tmp_path / "run", *split, *quick)
    for stage in ("ingest", "pretrain", "finetune"):
        finish(context, stage)

    with pytest.raises(ConfigError, match=r"finetune\.patience"):
        finetune(context_of(tmp_path / "run", *split, *quick, "finetune.patience=1"))
    result = context.folder.result("finetune") or {}
    metrics = cast(dict[str, float], result["metrics"])
    assert {name.rpartition("/")[2] for name in metrics} == {*SCORES, "nll", "ece"}
    tuned = tuned_classifier(context.folder, None)
    assert tuned is not None
    assert tuned[0].temperature is None
