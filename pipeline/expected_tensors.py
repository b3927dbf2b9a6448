"""What loaded tensors must be before any of them is used: of the expected names, shapes and types, and finite."""

from collections.abc import Mapping

from torch import Tensor

from pipeline.errors import CheckpointError


def check_expected(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], *, what: str) -> None:
    """Raises CheckpointError with the first missing, unexpected, misshapen, mistyped or non-finite tensor."""
    for name in sorted(expected.keys() | tensors.keys()):
        wanted = form(expected[name]) if name in expected else "absent"
        got = form(tensors[name]) if name in tensors else "absent"
        if wanted != got:
            raise CheckpointError(
                f"the checkpoint is of another architecture: {what} {name}",
                code="CKPT_INCOMPATIBLE",
                field=name,
                expected=wanted,
                got=got,
                fix="use the configuration it was trained with, or start anew with --fork NAME",
            )
    check_finite(tensors, what=what)


def check_finite(tensors: Mapping[str, Tensor], *, what: str) -> None:
    """Raises CheckpointError with the first tensor that holds NaN or infinity; training never saves such a one."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise CheckpointError(
                f"{what} {name} holds NaN or infinity",
                code="CKPT_NONFINITE",
                field=name,
                fix="the file was changed after training: restore it from a backup",
            )


def form(tensor: Tensor) -> str:
    """Type and shape, for comparing and for showing.

    >>> import torch; form(torch.zeros(3, 2))
    'float32[3, 2]'
    """
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"
