"""The pretraining samples that a relation is built over, and their columns as numbers."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.data.index import Index
from pipeline.data.rows import Rows
from pipeline.errors import ConfigError


@dataclass(frozen=True)
class Samples:
    """rows: the pretraining split. name: of the relation, for messages. folder: where relative paths of files start.

    class_names: label column -> class names, as the manifest has them.
    """

    name: str
    index: Index
    rows: Rows
    folder: Path = Path()
    class_names: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def idx(self) -> np.ndarray:
        """Sample numbers (n,) int64 in ascending order."""
        return self.rows.take(np.arange(len(self.rows)))

    def is_label(self, column: str) -> bool:
        """True for a label column; a name that is both counts as a label."""
        return column in self.index.classes

    def numbers(self, column: str, *, key: str, labels: bool = False) -> np.ndarray:
        """Distinct values of a column as numbers (n,) int64 from 0 on, -1 where unknown.

        labels: label columns are allowed. Raises ConfigError for a column that is not there or not allowed.
        """
        self.check_column(column, key=key, labels=labels)
        if self.is_label(column):
            return self.index.labels(column)[self.idx]
        return value_numbers(self.texts(column))

    def texts(self, column: str) -> np.ndarray:
        """Values (n,) str of a known column, "" where unknown."""
        if not self.is_label(column):
            return self.index.group(column)[self.idx]
        names = np.array([*self.class_names[column], ""], np.str_)
        return names[self.index.labels(column)[self.idx]]

    def check_column(self, column: str, *, key: str, labels: bool) -> None:
        """Raises ConfigError where a column does not exist or is a label that may not be used."""
        known = [*self.index.groups, *(self.index.classes if labels else ())]
        if self.is_label(column) and not labels:
            raise self.bad(key, f"{column!r} is a label: only same and tag_sets relations may use one", got=column)
        if column not in known:
            near = difflib.get_close_matches(column, known, n=1, cutoff=0.5)
            fix = f"did you mean {near[0]!r}?" if near else "name a column of the data set"
            raise self.bad(
                key, f"the data set has no column {column!r}", code="CONFIG_COLUMN", expected=known, got=column, fix=fix
            )

    def bad(
        self,
        key: str,
        message: str,
        *,
        code: str = "CONFIG_VALUE",
        expected: object = None,
        got: object = None,
        fix: str = "",
    ) -> ConfigError:
        """A ConfigError about a key of this relation."""
        field = self.field(key)
        return ConfigError(f"{field}: {message}", code=code, field=field, expected=expected, got=got, fix=fix)

    def field(self, key: str) -> str:
        """The path of a key in the recipe."""
        return f"relations.{self.name}.{key}"


def value_numbers(values: np.ndarray) -> np.ndarray:
    """Numbers (n,) int64 of distinct strings (n,) in the order they appear, -1 for ""."""
    encoded = pa.array(values, pa.large_string()).dictionary_encode()  # of many `string` it makes a list of arrays
    names = encoded.dictionary.to_pylist()
    numbers = encoded.indices.to_numpy().astype(np.int64)
    if "" not in names:
        return numbers
    unknown = names.index("")
    return np.where(numbers == unknown, -1, numbers - (numbers > unknown))
