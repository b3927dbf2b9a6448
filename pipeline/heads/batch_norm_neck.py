"""A batch normalisation between the features that distances compare and the logits (BN-neck).

Axes: B samples, D features.
"""

import torch
from torch import Tensor, nn

from pipeline.heads.spec import widen

_EPS, _MOMENTUM = 1e-5, 0.1


class BatchNormNeck(nn.Module):
    """Batch normalisation without bias (arXiv 1903.07071, section 3.5), in float32 or wider.

    Training normalises each micro-batch by itself, as a batch normalisation on one device of several does, and one
    sample alone as prediction does. What prediction normalises with is told by `observe`, of the global batch: every
    rank then keeps the same.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, features: Tensor) -> Tensor:
        """(B, D)."""
        features = widen(features)
        if self.training and len(features) > 1:
            var, mean = torch.var_mean(features, dim=0, correction=0)
        else:
            var, mean = self.running_var, self.running_mean
        return (features - mean) * torch.rsqrt(var + _EPS) * self.weight

    @torch.no_grad()
    def observe(self, features: Tensor) -> None:
        """Move the statistics of prediction towards those of a global batch (B, D); one sample has none."""
        if len(features) > 1:
            var, mean = torch.var_mean(features, dim=0)
            self.running_mean.lerp_(mean.to(self.running_mean), _MOMENTUM)
            self.running_var.lerp_(var.to(self.running_var), _MOMENTUM)
