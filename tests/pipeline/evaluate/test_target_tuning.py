"""Fine-tuning to numbers and to sets of tags on toy samples: losses as loops, and what a signal says is learned."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from modalities.spec import Modality
from pipeline.errors import DataError, Preempted
from pipeline.evaluate.multi_label import MultiLabelTask, scored_tags
from pipeline.evaluate.regression import RegressionTask, scored_numbers
from pipeline.evaluate.target_fit import TargetFit
from pipeline.evaluate.target_tuning import Numbers, TagSets, TargetTuning, Truth
from pipeline.train.loop import run_fit
from pipeline.train.reduce import GlobalStep
from pipeline.worker import SingleWorker
from tests.pipeline.evaluate.toy_classification import Read, fit_of
from tests.toy_streams import NoisyView, TinyEncoder, toy_reader

NUM_SAMPLES, NUM_TRAIN = 96, 48
TRAIN, TEST = np.arange(NUM_TRAIN), np.arange(NUM_TRAIN, NUM_SAMPLES)
GROUPS = np.array([f"s{i % 8}" for i in range(NUM_SAMPLES)])
FIT = TargetFit("finetune", "fused", 100, NUM_TRAIN)


@pytest.fixture
def read() -> Read:
    return toy_reader(NUM_SAMPLES, absent={"b": 2})


def shown_by_signals() -> np.ndarray:
    """Mean over time (N, C) of the stream that every sample has."""
    return toy_reader(NUM_SAMPLES)(np.arange(NUM_SAMPLES)).signals["a"].values.mean(dim=2).double().numpy()


def numbers() -> RegressionTask:
    """In a unit of its own, far from 0."""
    return RegressionTask("effort", 40 + 10 * shown_by_signals() @ np.array([1.0, -0.5]), GROUPS, TRAIN, TEST)


def tags() -> MultiLabelTask:
    known = np.ones(NUM_SAMPLES, np.bool_)
    return MultiLabelTask("acts", ("x", "y"), shown_by_signals() > np.array([0.0, 0.5]), known, GROUPS, TRAIN, TEST)


def tuning(truth: Truth, *, augment: bool = True) -> TargetTuning:
    torch.manual_seed(0)
    streams = {name: Modality(None, NoisyView(), TinyEncoder()) for name in ("a", "b")}  # type: ignore[arg-type]
    return TargetTuning(streams, truth, seed=0, augment=augment)


def loss_of(task: TargetTuning, read: Read, rows: np.ndarray) -> tuple[np.ndarray, float]:
    """Outputs (B, K) and what is minimised."""
    outputs = task.outputs(read(rows), epoch=0)
    return outputs["outputs"].detach().double().numpy(), float(task.total(task.loss(outputs, step=0)).detach())


def test_the_loss_of_numbers_is_the_squared_error_in_standard_units_of_what_is_shown(read: Read) -> None:
    task = numbers()
    shown, rows = TRAIN[::3], np.array([7, 2, 30, 4, 0, 60])
    mean = sum(task.values[i] for i in shown) / len(shown)
    sd = math.sqrt(sum((task.values[i] - mean) ** 2 for i in shown) / len(shown))

    found, loss = loss_of(tuning(Numbers.of(task, shown)), read, rows)

    expected = sum((found[b, 0] - (task.values[i] - mean) / sd) ** 2 for b, i in enumerate(rows)) / len(rows)
    assert loss == pytest.approx(expected, rel=1e-5)


def test_the_loss_of_tags_is_the_mean_binary_cross_entropy(read: Read) -> None:
    task, rows = tags(), np.array([7, 2, 30, 4, 0, 60])

    found, loss = loss_of(tuning(TagSets.of(task)), read, rows)

    expected = 0.0
    for b, i in enumerate(rows):
        for k in range(2):
            probability = 1 / (1 + math.exp(-found[b, k]))
            expected -= math.log(probability if task.tags[i, k] else 1 - probability) / (2 * len(rows))
    assert loss == pytest.approx(expected, rel=1e-5)


def test_answers_are_in_the_unit_of_the_target() -> None:
    task = numbers()
    truth = Numbers.of(task, TRAIN)

    np.testing.assert_allclose(truth.answers(truth.table), task.values, rtol=1e-5)
    logits = torch.tensor([[0.0, 80.0], [-80.0, 2.0]])
    expected = [[0.5, 1.0], [1 / (1 + math.exp(80)), 1 / (1 + math.exp(-2))]]
    np.testing.assert_allclose(TagSets.of(tags()).answers(logits), expected, rtol=1e-9)


def test_equal_numbers_have_no_spread_to_divide_by() -> None:
    truth = Numbers.of(replace(numbers(), values=np.full(NUM_SAMPLES, 3.0)), TRAIN[:1])

    assert (truth.mean, truth.sd) == (3.0, 1.0)
    assert not truth.table.any()


def test_samples_without_a_label_are_refused(read: Read) -> None:
    task, known = numbers(), np.arange(NUM_SAMPLES) != 5
    hidden = (
        Numbers.of(replace(task, values=np.where(known, task.values, np.nan)), TRAIN[:5]),
        TagSets.of(replace(tags(), known=known)),
    )
    for truth in hidden:
        assert tuning(truth).outputs(read(np.array([4, 6])), epoch=0)["outputs"].isfinite().all()
        with pytest.raises(DataError, match="DATA_LABEL"):
            tuning(truth).outputs(read(np.array([4, 5])), epoch=0)


def test_an_absent_stream_is_replaced_not_read(read: Read) -> None:
    task, batch = tuning(TagSets.of(tags())), read(np.arange(12))
    before = task.module.predict(batch)
    batch.signals["b"].values[~batch.signals["b"].present] = 1e6

    assert task.module.predict(batch).equal(before)


@pytest.mark.parametrize("kind", ["numbers", "tags"])
def test_the_loss_is_of_the_global_batch(read: Read, kind: str) -> None:
    truth = Numbers.of(numbers(), TRAIN) if kind == "numbers" else TagSets.of(tags())
    direct, split = tuning(truth), tuning(truth)
    for task in (direct, split):
        task.module.eval()  # dropout draws per micro-batch
    direct.total(direct.loss(direct.outputs(read(np.arange(12)), epoch=0), step=2)).backward()

    step = GlobalStep(split, SingleWorker(), num_micro=3, reduce="exact", precision=torch.float32, seed=0)
    own = step.forward([read(rows) for rows in np.split(np.arange(12), 3)], range(3), step=2, epoch=0)
    leaves = step.gather(own)
    step.loss(leaves, step=2)[1].backward()
    step.backward(own, range(3), leaves)

    for name, parameter in split.module.named_parameters():
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, direct.module.get_parameter(name).grad, rtol=1e-4, atol=1e-6)


def test_a_number_that_the_signal_shows_is_learned(read: Read, tmp_path: Path) -> None:
    task = numbers()
    tuned = tuning(Numbers.of(task, TRAIN))
    run_fit(fit_of(tuned, read, tmp_path, epochs=30, num_samples=NUM_TRAIN))

    row = scored_numbers(FIT, task, [tuned.truth.answers(tuned.module.predictions(read, TEST))], seed=0)

    at_the_mean = scored_numbers(FIT, task, [np.full(len(TEST), task.values[TRAIN].mean())], seed=0)
    assert at_the_mean.r2s[0] <= 0
    assert row.r2s[0] > 0.7
    assert row.maes[0] < 0.6 * at_the_mean.maes[0]
    assert row.metrics().keys() >= {f"regression/effort/finetune/fused/100/{name}" for name in ("r2", "mae", "r2_low")}


def test_tags_that_the_signal_shows_are_learned(read: Read, tmp_path: Path) -> None:
    task = tags()
    tuned = tuning(TagSets.of(task))
    run_fit(fit_of(tuned, read, tmp_path, epochs=30, num_samples=NUM_TRAIN))

    row = scored_tags(FIT, task, [tuned.truth.answers(tuned.module.predictions(read, TEST))], seed=0)

    shares = np.tile(task.tags[TRAIN].mean(axis=0), (len(TEST), 1))
    blind = scored_tags(FIT, task, [shares], seed=0).scores[0]
    assert row.scores[0].map > blind.map + 0.2
    assert row.scores[0].subset_accuracy > blind.subset_accuracy + 0.2
    assert "multi_label/acts/finetune/fused/100/map_low" in row.metrics()


def test_a_training_that_was_stopped_ends_with_the_same_bits(read: Read, tmp_path: Path) -> None:
    def fit(folder: str):
        return fit_of(tuning(Numbers.of(numbers(), TRAIN)), read, tmp_path / folder, epochs=2, num_samples=12)

    whole, asked = run_fit(fit("whole")), iter([False, False])

    with pytest.raises(Preempted):
        run_fit(replace(fit("cut"), stop=lambda: next(asked, True)))

    assert run_fit(fit("cut")).state_hash == whole.state_hash
