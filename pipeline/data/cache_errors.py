"""What the disk of the cache refuses, as our error."""

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import StorageError


@contextmanager
def cache_errors() -> Iterator[None]:
    """An OSError inside becomes a StorageError that names `data.cache`."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"the cache cannot be used: {error.strerror}",
            code="STORAGE_CACHE",
            field="data.cache",
            fix="free disk space, or choose another data.cache on a local disk",
        ) from error
