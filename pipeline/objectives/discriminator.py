"""A classifier of pairs of embeddings, by tiles: a batch has a hidden layer per pair. Axes: A, B samples, d size."""

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pipeline.objectives.info_nce import precise

_ROWS = 32
"""Of a tile, whose hidden layers are computed again in the backward pass instead of being kept."""


class Discriminator(nn.Module):
    """Logit that two embeddings are of one neighbourhood, from both of them in a row: one hidden layer of 4d, ReLU.

    That of the authors of arXiv 2106.00750, initialised as theirs, without its dropout, whose draws would be those of
    places in the batch and not of samples.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.hidden, self.logit = nn.Linear(2 * dim, 4 * dim), nn.Linear(4 * dim, 1)
        for layer in (self.hidden, self.logit):
            nn.init.xavier_uniform_(layer.weight)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """(A, B) of every pair of rows (A, d) and (B, d), float32 or wider."""
        with torch.autocast(first.device.type, enabled=False):
            of_first, of_second = self.hidden.weight.chunk(2, dim=1)
            left = precise(first) @ of_first.T + self.hidden.bias
            right = precise(second) @ of_second.T
            tiles = [
                checkpoint(self._tile, rows, right, use_reentrant=False, preserve_rng_state=False)
                for rows in left.split(_ROWS)
            ]
            return torch.cat(tiles)

    def _tile(self, left: Tensor, right: Tensor) -> Tensor:
        return self.logit((left[:, None] + right).relu()).squeeze(2)
