"""Real numbers as int64 multiples of 2^-32: their sums are exact, so no order or number of workers changes a bit."""

from torch import Tensor

_ONE = float(1 << 32)


def to_fixed(values: Tensor) -> Tensor:
    """Nearest multiples of 2^-32, as int64 of the same shape. Sums of 2^30 entries within [-1, 1] cannot overflow.

    >>> to_fixed(torch.tensor([0.5, -0.25])).tolist()
    [2147483648, -1073741824]
    """
    return (values.double() * _ONE).round().long()


def from_fixed(values: Tensor) -> Tensor:
    """The numbers as float64."""
    return values.double() / _ONE
