"""A classifier of pairs of embeddings. Axes: B samples, d embedding size."""

import torch
from torch import Tensor, nn

from pipeline.objectives.info_nce import normalize


class PairLogit(nn.Module):
    """Logit that two embeddings belong together: a bilinear form of unit rows, and a bias."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.form, self.bias = nn.Linear(dim, dim, bias=False), nn.Parameter(torch.zeros(()))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """(B, B) of the rows (B, d) of both sides, float32 or wider."""
        with torch.autocast(first.device.type, enabled=False):
            return self.form(normalize(first)) @ normalize(second).T + self.bias
