"""The fine-tune stage with other heads than the linear one: what is trained, kept, exported and served."""

import json
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from jobs._run_folder import write_recipe
from jobs.export import export
from jobs.finetune import finetune
from jobs.served.bundle import ARTIFACT, load_model
from pipeline.config import to_json
from pipeline.errors import ConfigError, Problems
from pipeline.train.checkpoint_store import CheckpointStore
from tests.jobs.test_sequence import STEPS
from tests.jobs.tiny_run import context_of, finish
from tests.served_requests import TrainingTime

QUICK = ("finetune.epochs=1", "finetune.supervised_control=false")


@pytest.mark.parametrize(
    "head", ["{kind: arcface, sub_centers: 2}", pytest.param("{kind: weighted_triplet}", marks=pytest.mark.slow)]
)
def test_a_served_head_answers_as_it_did_in_training(folder: Path, store_uri: str, head: str) -> None:
    context = context_of(folder, *QUICK, f"finetune.head={head}")
    finish(context, "finetune")
    write_recipe(folder, to_json(context.recipe))
    made = export(str(folder), [f"uri={store_uri}"])
    model, training_time = load_model(Path(str(made["path"])) / "artifacts" / ARTIFACT), TrainingTime(folder)
    idx, streams = training_time.whole[:4], training_time.streams

    answers = model(training_time.request(idx, streams))

    shares = [list(cast(dict[str, float], answer["probabilities"]).values()) for answer in answers]
    np.testing.assert_allclose(shares, training_time.probabilities(idx, streams), atol=1e-6)
    assert np.ptp(shares) > 1e-3


def test_what_only_the_loss_learns_is_trained_and_kept_beside_the_model(folder: Path) -> None:
    head = {"kind": "das", "base": {"kind": "distance_weighted"}, "scale_low": 0.5, "scale_high": 2.0}
    context = context_of(folder, *QUICK, f"finetune.head={json.dumps(head)}")

    result = finetune(context)

    checkpoint = CheckpointStore(folder / "finetune" / "finetune-100" / "checkpoints").newest()
    assert checkpoint is not None
    kept = checkpoint.part("objectives")
    assert kept["pair_loss.frequency"].sum() > 0
    assert (kept["pair_loss.base.boundary"] != 1.2).any()
    assert cast(dict[str, object], result["trained_with"])["kind"] == "das"
    logged = context.spool.path.read_text()
    assert "finetune-100/loss/pairs" in logged
    assert "finetune-100/loss/cross_entropy" in logged


def test_attributes_are_label_columns(folder: Path) -> None:
    given = context_of(folder, *QUICK, "finetune.head={kind: triplet, attributes: [tag]}")
    other = context_of(folder, *QUICK, "finetune.head={kind: triplet, attributes: [device]}")

    finetune(given)
    with pytest.raises(ConfigError, match=r"'device' is no label column.*finetune\.head\.attributes"):
        finetune(other)

    assert "finetune-100/loss/attribute_tag" in given.spool.path.read_text()


STEPWISE = "finetune.head={kind: dual_prototypical, step_label: gesture}"


@pytest.mark.slow
def test_events_are_the_classes_of_a_step_label(tmp_path: Path) -> None:
    context = context_of(tmp_path / "run", *STEPS, *QUICK, STEPWISE, "finetune.augment=false")
    for stage in ("ingest", "pretrain"):
        finish(context, stage)

    finetune(context)

    checkpoint = CheckpointStore(tmp_path / "run" / "finetune" / "finetune-100" / "checkpoints").newest()
    assert checkpoint is not None
    kept = checkpoint.part("objectives")
    assert len(kept["filled"]) == 5, "five gestures beside four activities"
    assert (kept["filled"] > 0).sum() >= 4
    assert "finetune-100/loss/class_specific" in context.spool.path.read_text()
    for other, message in (
        (context_of(tmp_path / "run", *STEPS, *QUICK, STEPWISE), r"moves steps in time.*streams\.imu\.augment"),
        (
            context_of(tmp_path / "run", *STEPS, *QUICK, STEPWISE, "streams.imu.encoder={kind: spectrum}"),
            r"no stretches of time.*streams\.imu\.encoder",
        ),
    ):
        with pytest.raises(ConfigError, match=message):
            finetune(other)
    with pytest.raises(Problems, match=r"finetune\.head\.step_label 'gestur' is none of .* did you mean gesture"):
        context_of(tmp_path, *STEPS, STEPWISE.replace("gesture}", "gestur}"))
