"""Random numbers keyed by sample: the same (seed, purpose, epoch, idx, view) gives the same numbers on any worker.

A counter-based generator (splitmix64 finaliser, Steele et al. 2014, doi 10.1145/2660193.2660195) over int64 tensors,
so a batch draws in a few vector operations and no generator state has to be saved.
"""

import hashlib
import math

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as int64
_MIX1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX2 = -7723592293110705685  # 0x94D049BB133111EB


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed from named parts, e.g. (seed, "order", epoch)."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def _shift(x: Tensor, bits: int) -> Tensor:
    return (x >> bits) & ((1 << (64 - bits)) - 1)  # torch shifts int64 arithmetically


def _wrap(value: int) -> int:
    """A Python integer modulo 2^64, as a signed 64-bit value."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shift(x, 30)) * _MIX1
    x = (x ^ _shift(x, 27)) * _MIX2
    return x ^ _shift(x, 31)


class Draws:
    """A stream of per-sample random numbers; every call advances it.

    >>> a = Draws.keyed(torch.tensor([7, 8]), seed=0, purpose="view", epoch=1, view=0)
    >>> b = Draws.keyed(torch.tensor([8]), seed=0, purpose="view", epoch=1, view=0)
    >>> bool(a.uniform(3)[1].equal(b.uniform(3)[0]))
    True
    """

    def __init__(self, keys: Tensor) -> None:
        self.keys = keys
        self._calls = 0

    @classmethod
    def keyed(cls, idx: Tensor, *, seed: int, purpose: str, epoch: int, view: int = 0) -> "Draws":
        """Keys for sample indices (B,) int64."""
        return cls(_mix(idx.long() * _GOLDEN + derive_seed(seed, purpose, epoch, view)))

    def __len__(self) -> int:
        return len(self.keys)

    def fork(self, name: str) -> "Draws":
        """An independent stream for the same samples: adding draws to one stage leaves the others unchanged."""
        return Draws(_mix(self.keys + derive_seed("fork", name)))

    def select(self, rows: Tensor) -> "Draws":
        """The stream of some samples of the batch, by integer index (K,)."""
        return Draws(self.keys[rows])

    def seed(self) -> int:
        """One 31-bit seed for library code that seeds per call; depends on every sample of the batch, in order."""
        order = torch.arange(1, len(self.keys) + 1, device=self.keys.device)
        return int((_mix(self.keys + order * _GOLDEN).sum() & 0x7FFFFFFF).item())

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """float32 (B, *shape) in [low, high)."""
        self._calls += 1
        size = math.prod(shape)
        counters = torch.arange(1, size + 1, device=self.keys.device)
        base = _mix(self.keys + _wrap(self._calls * _MIX2))
        bits = _shift(_mix(base[:, None] + counters * _GOLDEN), 40)  # 24 bits: exact in float32
        return (bits.float() * (high - low) / (1 << 24) + low).reshape(len(self.keys), *shape)

    def normal(self, *shape: int, std: float = 1.0) -> Tensor:
        """float32 (B, *shape), zero mean (Box-Muller)."""
        radius = torch.sqrt(-2.0 * torch.log1p(-self.uniform(*shape)))
        return radius * torch.cos(2.0 * math.pi * self.uniform(*shape)) * std

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """int64 (B, *shape) in [low, high)."""
        return (self.uniform(*shape) * (high - low)).long().clamp_(max=high - low - 1) + low
