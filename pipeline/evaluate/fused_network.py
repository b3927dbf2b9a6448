"""The network that labels train: encoders of the present streams -> fused features -> outputs of a head."""

from collections.abc import Callable, Mapping, Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from modalities.spec import Encoded, Signal
from pipeline.heads.linear import Linear
from pipeline.heads.spec import HeadConfig
from pipeline.model import encode_present, num_positions, scatter_rows
from pipeline.types import Batch

BATCH = 256
"""Samples that are predicted at once."""
_LINEAR = Linear()


class FusedNetwork(nn.Module):
    """Pooled features of every stream, normalised, a learned stand-in where one is absent, concatenated, and a head.

    num_outputs: classes, tags, or 1 for a number; numbers and tags have the linear head.
    blocks: number of last blocks of each encoder that are trained; None trains all of it.
    """

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        num_outputs: int,
        *,
        head: HeadConfig = _LINEAR,
        blocks: int | None = None,
    ) -> None:
        super().__init__()
        self.blocks = blocks
        self.encoders = nn.ModuleDict(dict(encoders))
        widths = {name: int(encoder.width) for name, encoder in encoders.items()}  # pyright: ignore[reportArgumentType]
        self.norms = nn.ModuleDict({name: nn.LayerNorm(width) for name, width in widths.items()})
        self.absent = nn.ParameterDict({name: torch.zeros(width) for name, width in widths.items()})
        self.width = sum(widths.values())
        self.head = head.classifier(self.width, num_outputs)
        if blocks is not None:
            for encoder in encoders.values():
                _freeze_below(encoder, blocks)

    def train(self, mode: bool = True) -> Self:
        """Blocks that are not trained stay in evaluation mode: no dropout, and normalisation keeps its statistics."""
        super().train(mode)
        if mode and self.blocks is not None:
            for encoder in self.encoders.values():
                encoder.eval()
                for part in _last_blocks(encoder, self.blocks):
                    part.train()
        return self

    def forward(self, signals: Mapping[str, Signal]) -> Tensor:
        """Outputs (B, num_outputs), such as logits."""
        return self.head(self.features(signals))

    @torch.no_grad()
    def predict(self, batch: Batch) -> Tensor:
        """Outputs (B, num_outputs) float32 of unaugmented signals in evaluation mode; the mode stays as it was."""
        was_training = self.training
        self.eval()
        outputs = self(batch.signals).float()
        self.train(was_training)
        return outputs

    def predictions(self, read: Callable[[np.ndarray], Batch], rows: np.ndarray) -> Tensor:
        """Outputs (N, num_outputs) of samples, of which there is at least one, as `predict` gives them."""
        return torch.cat([self.predict(read(rows[start : start + BATCH])) for start in range(0, len(rows), BATCH)])

    def features(self, signals: Mapping[str, Signal]) -> Tensor:
        """What the head reads, (B, width) float32."""
        return self._joined(signals, self.encoded(signals))

    def encoded(self, signals: Mapping[str, Signal]) -> dict[str, Encoded | None]:
        """Of the samples that have the stream; None where nobody has."""
        return {name: encode_present(encoder, signals[name]) for name, encoder in self.encoders.items()}

    def _joined(self, signals: Mapping[str, Signal], encoded: Mapping[str, Encoded | None]) -> Tensor:
        parts = []
        for name, found in encoded.items():
            signal, stand_in = signals[name], self.absent[name]
            full = stand_in.expand(len(signal), -1)
            if found is not None:
                rows = scatter_rows(self.norms[name](found.pooled.float()), signal.present)
                full = torch.where(signal.present[:, None], rows, full)
            parts.append(full)
        return torch.cat(parts, dim=1)

    def with_positions(self, signals: Mapping[str, Signal], stream: str) -> tuple[Tensor, Tensor, Tensor]:
        """What the head reads, and of every position of a stream features (B, S, D) float32 and whether it is real."""
        encoded, signal = self.encoded(signals), signals[stream]
        found = encoded[stream]
        if found is None:
            shape = len(signal), num_positions(self.encoders[stream], signal)
            features = self.absent[stream].new_zeros(*shape, len(self.absent[stream]))
            real = torch.zeros(shape, dtype=torch.bool, device=features.device)
        else:
            features = scatter_rows(self.norms[stream](found.sequence.float()), signal.present)
            real = scatter_rows(found.mask, signal.present)
        return self._joined(signals, encoded), features, real


def _last_blocks(encoder: nn.Module, number: int) -> Sequence[nn.Module]:
    """The encoder itself where it has no more blocks."""
    blocks: Sequence[nn.Module] = encoder.blocks()  # pyright: ignore[reportCallIssue, reportAssignmentType]
    return [encoder] if number >= len(blocks) else blocks[len(blocks) - number :]


def _freeze_below(encoder: nn.Module, number: int) -> None:
    trained = {id(p) for part in _last_blocks(encoder, number) for p in part.parameters()}
    for parameter in encoder.parameters():
        if id(parameter) not in trained:
            parameter.requires_grad_(False)
