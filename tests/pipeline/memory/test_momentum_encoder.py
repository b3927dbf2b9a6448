import pytest
import torch
from torch import nn

from pipeline.errors import CheckpointError
from pipeline.memory.momentum_encoder import MomentumEncoder


def test_weights_follow_by_the_published_rule_and_buffers_at_once() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    slow = MomentumEncoder(module, 0.9)
    before = [p.clone() for p in slow.module.parameters()]
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(1.0)
    module[1].running_mean.fill_(7.0)  # type: ignore[union-attr]

    slow.follow(module)

    for old, new, fast in zip(before, slow.module.parameters(), module.parameters(), strict=True):
        torch.testing.assert_close(new, 0.9 * old + 0.1 * fast)
    assert slow.module[1].running_mean.tolist() == [7.0, 7.0]  # type: ignore[index]


def test_it_never_gets_gradients_and_leaves_the_module_alone() -> None:
    module = nn.Linear(2, 2)
    slow = MomentumEncoder(module, 0.9)

    (slow.module(torch.ones(1, 2)) + module(torch.ones(1, 2))).sum().backward()
    slow.follow(module)

    assert all(p.grad is None for p in slow.module.parameters())
    assert all(p.grad is not None for p in module.parameters())


def test_state_round_trips_and_another_architecture_is_refused() -> None:
    slow, other = MomentumEncoder(nn.Linear(2, 2), 0.9), MomentumEncoder(nn.Linear(2, 2), 0.9)

    other.load(slow.tensors())

    for name, tensor in slow.tensors().items():
        assert torch.equal(other.tensors()[name], tensor)
    with pytest.raises(CheckpointError, match=r"bias.*absent"):
        other.load({"weight": torch.zeros(2, 2)})
