from collections.abc import Callable

import numpy as np
import pytest
import torch

from modalities.spec import Modality
from pipeline.errors import DataError
from pipeline.evaluate.finetune import Classification, layerwise_groups
from pipeline.types import Batch
from tests.toy_streams import NoisyView, TinyEncoder, toy_reader


def classification() -> Classification:
    torch.manual_seed(0)
    streams = {name: Modality(codec=None, augment=NoisyView(), encoder=TinyEncoder()) for name in ("a", "b")}  # type: ignore[arg-type]
    return Classification(streams, 3, seed=0, label_smoothing=0.0)


@pytest.fixture
def read() -> Callable[[np.ndarray], Batch]:
    reader = toy_reader(12, absent={"b": 2})

    def labelled(indices: np.ndarray) -> Batch:
        batch = reader(indices)
        return Batch(batch.idx, batch.signals, batch.content, batch.idx % 3)

    return labelled


def test_loss_is_the_cross_entropy_of_the_logits(read: Callable[[np.ndarray], Batch]) -> None:
    task = classification()
    outputs = task.outputs(read(np.arange(12)), epoch=0)
    logits, labels = outputs["logits"].double(), outputs["labels"]
    expected = -sum(float(logits[i].log_softmax(0)[labels[i]]) for i in range(12)) / 12

    actual = float(task.total(task.loss(outputs, step=0)))

    assert actual == pytest.approx(expected, abs=1e-5)


def test_an_absent_stream_is_replaced_not_read(read: Callable[[np.ndarray], Batch]) -> None:
    task, batch = classification(), read(np.arange(12))
    before = task.predict(batch)
    batch.signals["b"].values[~batch.signals["b"].present] = 1e6

    assert task.predict(batch).equal(before)


def test_prediction_has_no_randomness_and_keeps_the_training_mode(read: Callable[[np.ndarray], Batch]) -> None:
    task = classification()
    task.module.train()

    assert task.predict(read(np.arange(4))).equal(task.predict(read(np.arange(4))))
    assert task.module.training


def test_unlabelled_samples_are_refused(read: Callable[[np.ndarray], Batch]) -> None:
    batch = read(np.arange(4))

    with pytest.raises(DataError, match="DATA_LABEL"):
        classification().outputs(Batch(batch.idx, batch.signals, batch.content, torch.tensor([0, -1, 1, 2])), epoch=0)


def test_rates_fall_towards_the_input_and_every_parameter_is_in_one_group() -> None:
    task = classification()

    groups = layerwise_groups(task.module, learning_rate=1.0, decay=0.5, weight_decay=0.1)

    members = [id(p) for group in groups for p in group["params"]]  # type: ignore[union-attr]
    rate_of = {id(p): group["lr"] for group in groups for p in group["params"]}  # type: ignore[union-attr]
    assert sorted(members) == sorted(id(p) for p in task.module.parameters())
    assert rate_of[id(task.module.head.weight)] == 1.0
    encoder = task.module.encoders["a"]
    assert rate_of[id(encoder.body[0].weight)] == 0.5  # type: ignore[index, union-attr]
