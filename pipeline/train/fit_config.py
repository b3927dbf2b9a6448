"""How long and in which batches a stage trains."""

from typing import Literal

from pydantic import Field

from modalities.spec import Config
from pipeline.errors import ConfigError
from pipeline.train.optim import OptimConfig


class FitConfig(Config):
    """How long and in which batches a stage trains."""

    epochs: int = Field(default=10, ge=1)
    """Passes over the training samples."""
    batch_size: int = Field(default=256, ge=2)
    """Samples in a global batch, over all workers."""
    micro_batches: int = Field(default=4, ge=1)
    """Canonical micro-batches of a global batch; the largest useful number of workers."""
    reduce: Literal["exact", "fast"] = "exact"
    """`exact`: the same bits for any number of workers; `fast`: all-reduce."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Autocast precision of the encoders; losses are always float32."""
    ema_decay: float | None = Field(default=None, gt=0, lt=1)
    """Decay of the weight average that downstream stages use; None means the last weights are used."""
    optim: OptimConfig = OptimConfig()
    """Optimiser and schedule."""
    checkpoint_every: int = Field(default=50, ge=1)
    """Steps between checkpoints; the last step always has one."""
    log_every: int = Field(default=10, ge=1)
    """Steps between logged metrics."""
    monitor_every: int = Field(default=50, ge=1)
    """Steps between collapse monitors."""
    readers: int = Field(default=1, ge=1, le=64)
    """Threads of a worker that read batches ahead."""
    read_ahead_mib: int = Field(default=256, ge=1)
    """Memory for batches read ahead, in MiB a worker, on its device; at most eight batches, always one."""

    def check_shares(self, world: int) -> None:
        """Raises ConfigError where a batch cannot be cut into equal micro-batches, one or more for each worker."""
        if self.batch_size % self.micro_batches:
            raise ConfigError(
                "batch_size must be a multiple of micro_batches",
                code="CONFIG_VALUE",
                field="micro_batches",
                expected=f"a divisor of {self.batch_size}",
                got=self.micro_batches,
            )
        if world > self.micro_batches:
            raise ConfigError(
                f"{world} workers cannot share {self.micro_batches} micro-batches",
                code="CONFIG_WORLD",
                field="micro_batches",
                expected=f">= {world}",
                got=self.micro_batches,
            )
