"""Predictor: a small network inside an objective, trained with it and left behind after pretraining.

Axes: B samples, d embedding size.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.objectives.standard_scores import standard_scores


class Predictor(nn.Module):
    """Linear, batch normalisation, ReLU, linear (B, d) -> (B, d) (SimSiam, arXiv 2011.10566, section 3).

    The normalisation is over the present samples of the global batch, so that it is that of any number of workers; it
    keeps no running statistics, because a predictor is never used outside training.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.narrow, self.widen = nn.Linear(dim, hidden, bias=False), nn.Linear(hidden, dim)
        self.scale, self.shift = nn.Parameter(torch.ones(hidden)), nn.Parameter(torch.zeros(hidden))

    def forward(self, z: Tensor, present: Tensor) -> Tensor:
        """z (B, d) float32 or wider; present: (B,) bool. Rows of absent samples are of no use."""
        with torch.autocast(z.device.type, enabled=False):
            rows = torch.where(present[:, None], z, 0.0)
            return self.widen(functional.relu(standard_scores(self.narrow(rows), present) * self.scale + self.shift))
