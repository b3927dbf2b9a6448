from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from modalities.spec import Encoded, Modality, Signal
from pipeline.errors import DataError
from pipeline.evaluate.class_loss import ClassLoss
from pipeline.evaluate.finetune import Classification, Supervision
from pipeline.evaluate.layerwise_groups import layerwise_groups
from pipeline.train.loop import run_fit
from pipeline.types import Batch
from tests.pipeline.evaluate.toy_classification import Read, fit_of, labelled_reader
from tests.toy_streams import WIDTH, NoisyView, TinyEncoder


class DeepEncoder(TinyEncoder):
    """Three blocks with running statistics and dropout, and a parameter that belongs to no block."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(1))
        layers = [nn.Sequential(nn.Conv1d(WIDTH, WIDTH, 1), nn.BatchNorm1d(WIDTH), nn.Dropout(0.5)) for _ in range(2)]
        self.body = nn.Sequential(*self.body, *layers)

    def forward(self, signal: Signal) -> Encoded:
        return super().forward(Signal(signal.values + self.shift, signal.mask, signal.present))

    def blocks(self) -> Sequence[nn.Module]:
        return [self.body[:3], self.body[3], self.body[4]]


def classification(encoder: type[TinyEncoder] = TinyEncoder, *, blocks: int | None = None) -> Classification:
    torch.manual_seed(0)
    streams = {name: Modality(codec=None, augment=NoisyView(), encoder=encoder()) for name in ("a", "b")}  # type: ignore[arg-type]
    return Classification(streams, Supervision(3, ClassLoss(label_smoothing=0.0)), seed=0, blocks=blocks)


@pytest.fixture
def read() -> Read:
    return labelled_reader({"b": 2})


def test_loss_is_the_cross_entropy_of_the_logits(read: Read) -> None:
    task = classification()
    outputs = task.outputs(read(np.arange(12)), epoch=0)
    logits, labels = outputs["logits"].double(), outputs["labels"]
    expected = -sum(float(logits[i].log_softmax(0)[labels[i]]) for i in range(12)) / 12

    actual = float(task.total(task.loss(outputs, step=0)))

    assert actual == pytest.approx(expected, abs=1e-5)


def test_an_absent_stream_is_replaced_not_read(read: Read) -> None:
    task, batch = classification(), read(np.arange(12))
    before = task.module.predict(batch)
    batch.signals["b"].values[~batch.signals["b"].present] = 1e6

    assert task.module.predict(batch).equal(before)


def test_prediction_has_no_randomness_and_keeps_the_training_mode(read: Read) -> None:
    task = classification()
    task.module.train()

    assert task.module.predict(read(np.arange(4))).equal(task.module.predict(read(np.arange(4))))
    assert task.module.training


def test_unlabelled_samples_are_refused(read: Read) -> None:
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


def test_what_is_not_trained_keeps_its_bits_and_what_is_changes(read: Read, tmp_path: Path) -> None:
    for blocks, trained in ((0, ()), (1, ("body.4",)), (2, ("body.3", "body.4")), (3, ("body.", "shift"))):
        task = classification(DeepEncoder, blocks=blocks)
        before = {name: tensor.clone() for name, tensor in task.module.encoders.state_dict().items()}

        run_fit(fit_of(task, read, tmp_path / str(blocks), epochs=2))

        changed = {n for n, tensor in task.module.encoders.state_dict().items() if not tensor.equal(before[n])}
        expected = {n for n in before if n.partition(".")[2].startswith(trained)} if trained else set()
        assert changed == expected
        assert not task.module.head.weight.equal(classification(DeepEncoder).module.head.weight)
