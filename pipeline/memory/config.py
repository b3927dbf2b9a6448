"""Configuration of the memory: feature bank, pseudo-labels, queue of keys, momentum encoder."""

from typing import Literal

import torch
from pydantic import Field

from modalities.spec import Config


class ClustersConfig(Config):
    """How pseudo-labels are made and kept (InterCLR, arXiv 2008.11702, section 3)."""

    num: tuple[int, ...] | None = Field(default=None, min_length=1)
    """Clusters at each granularity; None means one granularity of a cluster per 128 samples."""
    update: Literal["online", "offline"] = "online"
    """`online`: each batch is relabelled as it is seen; `offline`: labels change only when everything is clustered."""
    refresh_every: int = Field(default=10, ge=1)
    """Steps between updates of the centroids and repairs of small clusters (online)."""
    recluster_every: int = Field(default=1, ge=1)
    """Epochs between clusterings of the whole bank (offline)."""
    min_cluster: int | None = Field(default=None, ge=1)
    """Smallest cluster that is not dissolved; None means 0.16 of the mean size, at least 2."""
    iterations: int = Field(default=20, ge=1)
    """Iterations of k-means at most."""


class MemoryConfig(Config):
    """Rows of every sample that outlive its batch, and what is derived from them."""

    source: str | None = None
    """Objective whose projector fills the memory; None means the first that reads pooled features."""
    spaces: Literal["streams", "fused", "both"] = "streams"
    """One bank a stream, one bank of the normalised sum of the streams that are present, or both."""
    dtype: Literal["float16", "bfloat16", "float32"] = "float32"
    """Precision of stored rows."""
    momentum: float = Field(default=1.0, gt=0, le=1)
    """Weight of the new row in a stored row; 1 overwrites."""
    encoder_momentum: float | None = Field(default=None, ge=0, lt=1)
    """Share of the old weights that a step keeps in the momentum encoder; None means there is none."""
    queue: int = Field(default=0, ge=0, le=1 << 24)
    """Keys of earlier batches that are kept per stream; 0 means none."""
    clusters: ClustersConfig = ClustersConfig()
    """Pseudo-labels."""
    warmup_epochs: int = Field(default=1, ge=1)
    """Epochs that only fill the bank; at their end the first clusters are made."""
    candidates: int = Field(default=4096, ge=1)
    """Rows drawn from the bank in each step as possible negatives; as many as samples, where those are fewer."""
    overlapping_positives: bool = False
    """Whether a positive may be the anchor's own row or overlap the anchor in time."""

    @property
    def torch_dtype(self) -> torch.dtype:
        """`dtype` as torch names it."""
        return {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}[self.dtype]
