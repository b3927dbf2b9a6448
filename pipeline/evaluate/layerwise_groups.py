"""Parameters of a pretrained network in groups whose learning rate falls from the head down."""

from collections.abc import Sequence

from torch import nn

from pipeline.evaluate.fused_network import FusedNetwork


def layerwise_groups(
    module: FusedNetwork, *, learning_rate: float, decay: float, weight_decay: float
) -> list[dict[str, object]]:
    """Parameter groups whose rate shrinks by `decay` per block from the head down (arXiv 1801.06146, section 3.2)."""
    groups = _groups([module.norms, module.absent, module.head], learning_rate, weight_decay)
    for encoder in module.encoders.values():
        blocks: Sequence[nn.Module] = encoder.blocks()  # pyright: ignore[reportCallIssue, reportAssignmentType]
        seen: set[int] = set()
        for depth, block in enumerate(reversed(blocks), start=1):
            groups += _groups([block], learning_rate * decay**depth, weight_decay)
            seen |= {id(p) for p in block.parameters()}
        rest = [p for p in encoder.parameters() if id(p) not in seen]
        groups += _split(rest, learning_rate * decay ** len(blocks), weight_decay)
    return groups


def _groups(modules: Sequence[nn.Module], learning_rate: float, weight_decay: float) -> list[dict[str, object]]:
    return _split([p for module in modules for p in module.parameters()], learning_rate, weight_decay)


def _split(parameters: Sequence[nn.Parameter], learning_rate: float, weight_decay: float) -> list[dict[str, object]]:
    trained = [p for p in parameters if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "lr": learning_rate, "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "lr": learning_rate, "weight_decay": 0.0},
    ]
