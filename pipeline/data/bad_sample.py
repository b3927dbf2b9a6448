"""A codec's complaint, with the place it came from."""

from modalities.spec import SignalError
from pipeline.errors import DataError


def bad_sample(
    error: SignalError, *, field: str, key: str | None = None, shard: str | None = None, offset: int | None = None
) -> DataError:
    """The DataError for a SignalError of stream `field` of sample or record `key`."""
    return DataError(
        str(error),
        code=error.code,
        fix=error.fix,
        shard=shard,
        offset=offset,
        key=key,
        field=field,
        expected=error.expected,
        got=error.got,
    )
