"""Where checkpoints are copied to while a stage trains."""

from pydantic import Field, field_validator

from modalities.spec import Config
from pipeline.data.place import DatasetUrl, parse_place


class MirrorConfig(Config):
    """Remote storage for copies of checkpoints."""

    path: str
    """URL of a bucket and folder (s3 or gs); each run has a folder of its own below, named after its run folder."""
    allowed_hosts: tuple[str, ...] = ()
    """Hosts that may be contacted; none means the service's own. One that is not public must be named."""
    endpoint: str | None = None
    """URL of an S3-compatible server; None means Amazon's. Credentials come from the environment as boto reads it."""
    io_timeout_s: float = Field(default=30.0, gt=0)
    """Seconds without progress after which a transfer is tried again."""

    @field_validator("path")
    @classmethod
    def _bucket(cls, path: str) -> str:
        place = parse_place(path, field="pretrain.mirror.path")
        if not isinstance(place, DatasetUrl) or place.scheme not in {"s3", "gs"}:
            raise ValueError("checkpoints can be copied to s3://bucket/folder or gs://bucket/folder only")
        return path
