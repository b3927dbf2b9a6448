"""The error of a recipe that names a column which its data set has not."""

from collections.abc import Iterable

from pipeline.errors import DataError


def lacking_column(key: str, name: str, known: Iterable[str]) -> DataError:
    """key: of the recipe; known: what it could name."""
    return DataError(
        f"the data set has no {key} {name!r}",
        code="DATA_FIELD",
        field=key,
        expected=sorted(known),
        got=name,
        fix=f"set {key} to one of these, or ingest with it",
    )
