"""The pretraining model: one encoder per stream, one projector per objective and stream."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from modalities.spec import Encoded, Signal
from pipeline.objectives.spec import Projection


def projector(width: int, config: Projection) -> nn.Sequential:
    """Two-layer MLP (B, width) -> (B, dim)."""
    return nn.Sequential(nn.Linear(width, config.hidden), nn.ReLU(), nn.Linear(config.hidden, config.dim))


def encode_present(encoder: nn.Module, signal: Signal) -> Encoded | None:
    """Encode only the samples that have this stream; None when none has it."""
    rows = signal.present.nonzero().squeeze(1)
    if len(rows) == 0:
        return None
    if len(rows) == len(signal):
        return encoder(signal)
    return encoder(signal.select(rows))


def scatter_rows(values: Tensor, present: Tensor) -> Tensor:
    """(K, ...) rows of the present samples -> (B, ...), zeros where absent."""
    if len(values) == len(present):
        return values
    full = values.new_zeros(len(present), *values.shape[1:])
    return full.index_copy(0, present.nonzero().squeeze(1), values)


@torch.no_grad()
def num_positions(encoder: nn.Module, signal: Signal) -> int:
    """S of the sequence of a stream, also where nobody in this micro-batch has it: shapes may not depend on that."""
    return encoder(signal.select(torch.zeros(1, dtype=torch.long))).mask.shape[1]


class PretrainModel(nn.Module):
    """Encoders and projectors by name. Downstream stages keep `encoders` only."""

    def __init__(self, encoders: Mapping[str, nn.Module], projectors: Mapping[str, Mapping[str, nn.Module]]) -> None:
        """projectors: objective name -> stream whose embeddings it compares -> what makes them of features."""
        super().__init__()
        self.encoders = nn.ModuleDict(dict(encoders))
        self.projectors = nn.ModuleDict({name: nn.ModuleDict(dict(own)) for name, own in projectors.items()})

    def projector(self, objective: str, stream: str) -> nn.Module:
        """The one of this objective and stream."""
        return self.projectors[objective][stream]  # pyright: ignore[reportIndexIssue] - a ModuleDict


@torch.no_grad()
def pooled_features(encoders: nn.ModuleDict, signals: Mapping[str, Signal]) -> dict[str, Tensor]:
    """Pooled features of every stream, float32 (B, D) on the CPU; zeros where absent. The caller sets eval mode."""
    results = {}
    for name, encoder in encoders.items():
        signal = signals[name]
        encoded = encode_present(encoder, signal)
        width = int(encoder.width)  # pyright: ignore[reportArgumentType] - spec.Encoder
        pooled = torch.zeros(0, width) if encoded is None else encoded.pooled.float().cpu()
        full = torch.zeros(len(signal), width)
        full[signal.present.cpu()] = pooled
        results[name] = full
    return results
