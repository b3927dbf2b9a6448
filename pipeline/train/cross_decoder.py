"""What guesses the content of one stream from the features of another."""

import torch
from torch import Tensor, nn

from modalities.position_codes import position_codes
from pipeline.objectives.spec import Projection

_CODES = 32


class CrossDecoder(nn.Module):
    """Pooled features (B, D) -> guesses (B, S, P) of every position: a two-layer MLP of the features and the place."""

    def __init__(self, width: int, config: Projection) -> None:
        super().__init__()
        self.features, self.place = nn.Linear(width, config.hidden), nn.Linear(_CODES, config.hidden, bias=False)
        self.out = nn.Linear(config.hidden, config.dim)

    def forward(self, pooled: Tensor, positions: int) -> Tensor:
        places = self.place(position_codes(positions, _CODES).to(pooled))
        return self.out(torch.relu(self.features(pooled)[:, None] + places))
