"""Class numbers from the cells of a label column."""

from collections.abc import Sequence

from pydantic import Field, model_validator

from modalities.spec import Config
from pipeline.errors import DataError


class LabelColumn(Config):
    """A column that holds a class."""

    column: str
    """Column of the record table; empty cells are unlabelled."""
    names: dict[str, str] = Field(default_factory=dict)
    """Cell value -> class name, for codes such as 0: walking; {} uses the cells as names."""

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, value: object) -> object:
        return {"column": value} if isinstance(value, str) else value


def tags_of(cell: str, separator: str) -> frozenset[str]:
    """The tags in a cell; spaces around them do not count.

    >>> sorted(tags_of("walk; phone in hand;", ";"))
    ['phone in hand', 'walk']
    """
    return frozenset(tag for part in cell.split(separator) if (tag := part.strip()))


def class_values(cells: Sequence[str]) -> list[str]:
    """Distinct non-empty cells in class order: by number where all are numbers, else by text."""
    values = {cell for cell in cells if cell}
    if all(_is_number(value) for value in values):
        return sorted(values, key=lambda value: (float(value), value))
    return sorted(values)


def class_names(config: LabelColumn, values: Sequence[str]) -> tuple[str, ...]:
    """Names of the classes, in class order. Raises DataError for values without a name, or two with the same."""
    if not config.names:
        return tuple(values)
    unknown = [value for value in values if value not in config.names]
    names = tuple(config.names.get(value, value) for value in values)
    if unknown or len(set(names)) != len(names):
        raise DataError(
            f"column {config.column!r}: values without a name, or names used twice",
            code="DATA_LABEL",
            field=config.column,
            expected=sorted(config.names),
            got=unknown or list(names),
            fix="give every value its own name under labels.<name>.names",
        )
    return names


def _is_number(text: str) -> bool:
    try:
        return float(text) == float(text)
    except ValueError:
        return False
