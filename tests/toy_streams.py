"""A ten-line modality in memory: the pipeline must train it without knowing what it is."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import nn

from modalities.draws import Draws
from modalities.spec import Encoded, Modality, Signal
from pipeline.objectives.cross import CrossModal
from pipeline.objectives.intra import IntraSample
from pipeline.objectives.spec import Projection
from pipeline.objectives.transformations import Transformations
from pipeline.train.named_objectives import name_objectives
from pipeline.train.pretraining import Pretraining
from pipeline.train.surroundings import Surroundings
from pipeline.types import Batch

CHANNELS, STEPS, WIDTH = 2, 6, 8


class NoisyView:
    """Adds keyed noise."""

    keeps_time = True

    def __call__(self, signal: Signal, draws: Draws) -> Signal:
        noise = draws.normal(*signal.values.shape[1:], std=0.1) * signal.present[:, None, None]
        return Signal(signal.values + noise, signal.mask, signal.present)


class TinyEncoder(nn.Module):
    """Pointwise convolution, dropout, mean over time."""

    width = WIDTH

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(CHANNELS, WIDTH, 3, padding=1), nn.GELU(), nn.Dropout(0.1))

    def forward(self, signal: Signal) -> Encoded:
        sequence = self.body(signal.values).transpose(1, 2)
        mask = torch.ones(sequence.shape[:2], dtype=torch.bool, device=sequence.device)
        return Encoded(sequence.mean(dim=1), sequence, mask)

    def blocks(self) -> Sequence[nn.Module]:
        return [self.body]


def toy_pretraining(
    seed: int = 0, objectives: Sequence[object] | None = None, surroundings: Surroundings | None = None
) -> Pretraining:
    """Two toy streams with an intra-sample and a cross-modal objective."""
    torch.manual_seed(seed)
    head = Projection(hidden=8, dim=4)
    chosen = objectives or [IntraSample(projection=head), CrossModal(projection=head, weight=2.0)]
    transforms = dict.fromkeys(Transformations().transforms, NoisyView())
    streams = {name: Modality(None, NoisyView(), TinyEncoder(), transforms) for name in ("a", "b")}  # type: ignore[arg-type]
    named = name_objectives(chosen, list(streams))  # type: ignore[arg-type]
    return Pretraining(streams, named, seed=seed, surroundings=surroundings)  # type: ignore[arg-type]


def toy_reader(num_samples: int, *, absent: Mapping[str, int] | None = None) -> Callable[[np.ndarray], Batch]:
    """Samples whose streams share a latent; `absent` = stream -> every n-th sample lacks it."""
    generator = torch.Generator().manual_seed(5)
    latent = torch.randn(num_samples, CHANNELS, 1, generator=generator)
    values = {name: latent + 0.3 * torch.randn(num_samples, CHANNELS, STEPS, generator=generator) for name in "ab"}

    def read(indices: np.ndarray) -> Batch:
        idx = torch.from_numpy(np.asarray(indices, dtype=np.int64))
        signals, content = {}, {}
        for name, table in values.items():
            every = (absent or {}).get(name)
            present = torch.ones(len(idx), dtype=torch.bool) if every is None else idx % every != 0
            signals[name] = Signal(table[idx] * present[:, None, None], None, present)
            content[name] = torch.where(present, idx, -1 - idx)
        return Batch(idx, signals, content)

    return read


class InOrder:
    """The simplest order: a keyed shuffle of range(n)."""

    def __init__(self, num_samples: int, batch_size: int) -> None:
        self.num_samples, self.batch_size = num_samples, batch_size
        self.steps_per_epoch = num_samples // batch_size

    def batch(self, epoch: int, step: int) -> np.ndarray:
        order = np.random.default_rng(epoch).permutation(self.num_samples)
        return order[step * self.batch_size : (step + 1) * self.batch_size]
