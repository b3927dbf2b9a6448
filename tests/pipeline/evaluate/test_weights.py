import pytest
import torch
from torch import nn

from pipeline.errors import CheckpointError
from pipeline.evaluate.weights import load_weights


def model(width: int = 4) -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, width), nn.LayerNorm(width))


def test_equal_names_and_shapes_are_copied_and_counted() -> None:
    source, target = model(), model()

    report = load_weights(target, source.state_dict() | {"head.weight": torch.zeros(2)})

    assert report.counts() == {"matched": 4, "missing": 0, "unexpected": 1, "mismatched": 0}
    assert all(tensor.equal(target.state_dict()[name]) for name, tensor in source.state_dict().items())


def test_another_shape_is_refused_before_anything_is_loaded() -> None:
    target = model()
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}

    with pytest.raises(CheckpointError, match=r"CKPT_INCOMPATIBLE.*0\.weight.*expected.*4.*got.*8"):
        load_weights(target, model(8).state_dict())

    assert all(tensor.equal(before[name]) for name, tensor in target.state_dict().items())


def test_a_checkpoint_that_matches_nothing_is_not_a_success() -> None:
    with pytest.raises(CheckpointError, match="only 0 of 4"):
        load_weights(model(), {"encoder.weight": torch.zeros(1)})


def test_a_declared_share_may_be_missing() -> None:
    half = {name: tensor for name, tensor in model().state_dict().items() if name.startswith("0.")}

    assert load_weights(model(), half, minimum_matched=0.5).missing == ("1.weight", "1.bias")
