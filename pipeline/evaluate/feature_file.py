"""A Parquet file of frozen features: what made it, and the errors of one that is missing, damaged or made otherwise."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from pipeline.errors import CheckpointError, DataError

T = TypeVar("T")
_HASH = b"kindred.encoder_hash"


def maker_metadata(encoder_hash: str) -> dict[bytes, bytes]:
    """Schema metadata that names the weights and the data set that features were made of."""
    return {_HASH: encoder_hash.encode()}


def maker(schema: pa.Schema) -> str:
    """What `maker_metadata` was given; "" where the file has none."""
    return (schema.metadata or {}).get(_HASH, b"").decode()


def check_maker(path: Path, schema: pa.Schema, *, encoder_hash: str) -> None:
    """Raises CheckpointError for features that something else made."""
    if (found := maker(schema)) != encoder_hash:
        raise CheckpointError(
            f"{path.name} holds features of another encoder or data set",
            code="FEATURES_STALE",
            field="encoder_hash",
            expected=encoder_hash,
            got=found,
            fix="delete the file or compute the features again",
        )


def opened(path: Path, read: Callable[[Path], T]) -> T:
    """What `read` gives. Raises DataError where the file is missing or damaged."""
    try:
        return read(path)
    except FileNotFoundError as error:
        raise bad_features(f"{path.name} is missing", code="FEATURES_MISSING") from error
    except (pa.ArrowException, OSError) as error:
        raise bad_features(f"{path.name} cannot be read: {error}") from error


def bad_features(problem: str, *, code: str = "FEATURES", field: str = "features", got: str | None = None) -> DataError:
    """What is wrong with features that were computed or read."""
    return DataError(problem, code=code, field=field, got=got, fix="compute the features again")
