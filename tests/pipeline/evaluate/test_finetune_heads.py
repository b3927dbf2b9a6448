"""Fine-tuning with a head: what of it sees micro-batches, what the global batch, and whose gradients are whose."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional

from modalities.draws import Draws
from modalities.spec import Augment, Encoded, Modality, Signal
from pipeline.errors import ConfigError, Preempted
from pipeline.evaluate.class_loss import class_loss
from pipeline.evaluate.finetune import Classification, StepClasses, Supervision
from pipeline.evaluate.finetune_config import FinetuneConfig
from pipeline.heads.arcface import ArcFace
from pipeline.heads.das import DAS
from pipeline.heads.distance_weighted import DistanceWeighted
from pipeline.heads.dual_path import DualPath
from pipeline.heads.dual_prototypical import DualPrototypical
from pipeline.heads.linear import Linear
from pipeline.heads.spec import Attribute, HeadConfig
from pipeline.heads.sphereface import SphereFace
from pipeline.heads.sup_con import SupCon
from pipeline.heads.triplet import Triplet
from pipeline.heads.weighted_triplet import WeightedTriplet
from pipeline.train.fit import Fit
from pipeline.train.loop import run_fit
from pipeline.train.reduce import GlobalStep
from pipeline.worker import SingleWorker
from tests.pipeline.evaluate.toy_classification import Read, fit_of, labelled_reader
from tests.toy_streams import NoisyView, TinyEncoder

ATTRIBUTED = Triplet(attributes=("device",))
STEPWISE = DualPrototypical(step_label="phase")
HEADS = [
    Linear(),
    ArcFace(sub_centers=2),
    SphereFace(),
    SupCon(),
    DistanceWeighted(),
    DAS(),
    DualPath(),
    ATTRIBUTED,
    STEPWISE,
]


class ShortSequence(TinyEncoder):
    """Positions of two steps, the first of which is never real."""

    def forward(self, signal: Signal) -> Encoded:
        encoded = super().forward(signal)
        mask = encoded.mask[:, ::2].clone()
        mask[:, 0] = False
        return Encoded(encoded.pooled, encoded.sequence[:, ::2], mask)


class Late(NoisyView):
    """A view that moves steps."""

    keeps_time = False


def classification(head: HeadConfig, augment: Augment | None = None) -> Classification:
    torch.manual_seed(0)
    encoders = {"a": TinyEncoder(), "b": TinyEncoder() if head.steps_of is None else ShortSequence()}
    streams = {name: Modality(None, augment or NoisyView(), encoder) for name, encoder in encoders.items()}  # type: ignore[arg-type]
    attributes = {name: Attribute(torch.arange(12) % 5 % 3 - 1, 2) for name in head.attribute_columns}
    steps = None if head.steps_of is None else StepClasses(head.steps_of, "b", 3, stride=2)
    task = Classification(streams, Supervision(3, head=head, attributes=attributes, steps=steps), seed=0)
    task.module.eval()  # dropout draws per micro-batch
    return task


@pytest.fixture
def read() -> Read:
    return labelled_reader({"a": 5, "b": 4})


def gradients(module: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad for name, p in module.named_parameters() if p.grad is not None}


def stepped(task: Classification, read: Read, num_micro: int) -> tuple[Mapping[str, Tensor], Tensor]:
    """Terms and total of one step of 12 samples, whose gradients are left in the task."""
    step = GlobalStep(task, SingleWorker(), num_micro=num_micro, reduce="exact", precision=torch.float32, seed=0)
    batches = [read(rows) for rows in np.split(np.arange(12), num_micro)]
    own = step.forward(batches, range(num_micro), step=2, epoch=0)
    leaves = step.gather(own)
    terms, total = step.loss(leaves, step=2)
    total.backward()
    step.backward(own, range(num_micro), leaves)
    return terms.terms, total


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.kind)
def test_losses_see_the_global_batch_and_every_parameter_gets_its_whole_gradient(head: HeadConfig, read: Read) -> None:
    direct, split = classification(head), classification(head)
    direct.total(direct.loss(direct.outputs(read(np.arange(12)), epoch=0), step=2)).backward()

    terms, total = stepped(split, read, 3)

    expected = classification(head).loss(direct.outputs(read(np.arange(12)), epoch=0), step=2)
    torch.testing.assert_close(terms, expected.terms)
    torch.testing.assert_close(total, torch.stack(list(expected.terms.values())).sum())
    for name in ("module", "objectives"):
        found = gradients(getattr(split, name))
        torch.testing.assert_close(found, gradients(getattr(direct, name)), rtol=1e-4, atol=1e-5)
        assert all(gradient.abs().sum() > 0 for gradient in found.values())
        assert len(found) == len([p for p in getattr(split, name).parameters() if p.requires_grad])


def test_the_linear_head_is_what_was_there_before_to_the_last_bit(read: Read) -> None:
    task, batch = classification(Linear()), read(np.arange(12))

    outputs = task.outputs(batch, epoch=0)
    terms = task.loss(outputs, step=0)

    assert outputs.keys() == {"idx", "labels", "logits"}
    head, views = task.module.head, task.module.features(task.views(batch, epoch=0))
    logits = functional.linear(views, head.weight, head.bias)  # type: ignore[arg-type]
    expected = functional.cross_entropy(logits, batch.idx % 3, label_smoothing=0.1)
    assert terms.terms["cross_entropy"].equal(expected)
    assert task.total(terms).equal(expected)
    assert not task.objectives.state_dict()


def test_attributes_are_those_of_the_samples(read: Read) -> None:
    task, order = classification(ATTRIBUTED), np.array([7, 2, 9, 4, 0, 11])
    outputs = task.outputs(read(order), epoch=0)

    found = task.loss(outputs, step=0).terms["attribute_device"]

    labels = torch.tensor([order[i] % 5 % 3 - 1 for i in range(6)])
    (classifier,) = task.objectives.get_submodule("heads.heads").children()
    expected = functional.cross_entropy(classifier(outputs["features_0"]), labels, ignore_index=-1)
    torch.testing.assert_close(found, 0.1 * expected)


def test_two_views_of_a_sample_differ_where_a_head_asks_for_two(read: Read) -> None:
    outputs = classification(DualPath()).outputs(read(np.arange(12)), epoch=0)

    assert not outputs["features_0"].allclose(outputs["features_1"])
    assert outputs["features_0"].equal(classification(SupCon()).outputs(read(np.arange(12)), epoch=0)["features_0"])


@pytest.mark.parametrize("option", [{"balance": "weights"}, {"loss": "generalized_cross_entropy"}])
def test_a_head_with_a_class_loss_of_its_own_takes_no_other(option: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="'arcface' has a class loss of its own"):
        FinetuneConfig.model_validate({"head": {"kind": "arcface"}, **option})

    assert FinetuneConfig.model_validate({"head": {"kind": "sup_con"}, **option}).head == SupCon()


def test_labels_are_smoothed_where_the_head_takes_the_class_loss_of_the_stage() -> None:
    counts = torch.ones(3, dtype=torch.int64)

    assert class_loss(FinetuneConfig(head=SupCon()), counts).label_smoothing == 0.1
    assert class_loss(FinetuneConfig(head=ArcFace()), counts).label_smoothing == 0  # early stopping looks at it


@pytest.mark.parametrize(
    "head", [DAS(base=DistanceWeighted(), detach=False), WeightedTriplet()], ids=lambda head: head.kind
)
def test_a_training_that_was_stopped_ends_with_the_same_bits(head: HeadConfig, read: Read, tmp_path: Path) -> None:
    """What a head remembers between steps, drawn numbers included, is in the checkpoint or follows from the step."""
    whole = run_fit(fit(head, read, tmp_path / "whole"))
    asked = iter([False])

    with pytest.raises(Preempted):
        run_fit(replace(fit(head, read, tmp_path / "cut"), stop=lambda: next(asked, True)))

    assert run_fit(fit(head, read, tmp_path / "cut")).state_hash == whole.state_hash


def fit(head: HeadConfig, read: Read, folder: Path) -> Fit:
    return fit_of(classification(head), read, folder, epochs=3)


def test_positions_have_the_phase_of_their_steps_where_something_is_made_of_them(read: Read) -> None:
    task, batch = classification(STEPWISE), read(np.arange(12))
    view = NoisyView()(batch.signals["b"], Draws.keyed(batch.idx, seed=0, purpose="finetune/b", epoch=2, view=0))

    outputs = task.outputs(batch, epoch=2)

    sequence = task.module.norms["b"](task.module.encoders["b"](view).sequence)
    here = batch.signals["b"].present
    torch.testing.assert_close(outputs["steps"][here], sequence[here])
    phases = torch.stack([-torch.ones(12), (batch.idx + 1) % 3, (batch.idx + 2) % 3], dim=1).long()
    assert outputs["step_classes"].tolist() == torch.where(here[:, None], phases, -1).tolist()
    assert not here.all()


def test_shapes_of_steps_do_not_hang_on_who_has_the_stream(read: Read) -> None:
    task = classification(STEPWISE)
    somebody, nobody = (task.outputs(read(np.array(rows)), epoch=0) for rows in ([0, 1, 2], [0, 4, 8]))

    assert {name: value.shape for name, value in nobody.items()} == {n: v.shape for n, v in somebody.items()}
    assert nobody["step_classes"].unique().tolist() == [-1]


def test_augmentation_that_moves_steps_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"moves steps in time.*streams\.b\.augment"):
        classification(STEPWISE, augment=Late())
