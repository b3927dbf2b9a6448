"""Class weights as directions: logits are scaled cosines, of the nearest of several sub-centres where there are more.

Axes: B samples, C classes, K sub-centres, D features.
"""

import torch
from torch import Tensor, nn

from pipeline.objectives.info_nce import normalize, product


class CosineClasses(nn.Module):
    """scale * max_k cos(h, w_ck); the norm of the features does not matter."""

    def __init__(self, width: int, num_classes: int, *, scale: float, sub_centers: int = 1) -> None:
        super().__init__()
        self.scale = scale
        self.weight = nn.Parameter(nn.init.xavier_normal_(torch.empty(num_classes * sub_centers, width)))
        self.sub_centers = sub_centers

    def forward(self, features: Tensor) -> Tensor:
        """Logits (B, C) of features (B, D)."""
        return self.scale * self.cosines(features).amax(dim=2)

    def cosines(self, features: Tensor) -> Tensor:
        """(B, C, K) with every sub-centre, in float32 or wider, also under autocast."""
        unit = normalize(features)
        return product(unit, normalize(self.weight).to(unit.dtype).T).unflatten(1, (-1, self.sub_centers))


def with_target(logits: Tensor, labels: Tensor, target: Tensor) -> Tensor:
    """Logits (B, C) with those of the labels (B,) replaced by target (B,)."""
    return logits.scatter(1, labels[:, None], target[:, None])


def of_label(logits: Tensor, labels: Tensor) -> Tensor:
    """(B,) the entries of (B, C) at the labels."""
    return logits.gather(1, labels[:, None]).squeeze(1)
