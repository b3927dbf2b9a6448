"""Configuration of the sequence probes."""

from pydantic import Field

from modalities.spec import Config
from pipeline.evaluate.probe_config import Percent


class SequenceConfig(Config):
    """Step labels that linear probes read from frozen features before pooling, with the folds and C of `probe`."""

    targets: tuple[str, ...] = Field(min_length=1)
    """Step labels, whose streams take part in the recipe."""
    percents: tuple[Percent, ...] = Field(default=(100.0,), min_length=1)
    """Percentages of the training samples with step labels; one draw of each."""
    max_positions: int = Field(default=20_000, ge=1)
    """Most positions of encoded sequences that a probe learns from; samples are taken at random until there are so
    many."""
