"""Configuration of the multi-label probes."""

from pydantic import Field

from modalities.spec import Config


class MultiLabelConfig(Config):
    """Sets of tags that linear probes read from frozen features, with the label shares, draws and folds of `probe`;
    fine-tuning predicts them too."""

    targets: tuple[str, ...] = Field(min_length=1)
    """Label columns whose cells hold tags; an empty cell is unlabelled, one with the separator alone has no tag."""
    separator: str = Field(default=";", min_length=1)
    """What stands between two tags."""
