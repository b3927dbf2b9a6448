"""Which records train, validate and test. Decided per record, before windows are cut."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from modalities.draws import derive_seed
from modalities.spec import Config
from pipeline.data.records import Record, cell_text
from pipeline.errors import DataError, LeakError

SplitName: TypeAlias = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")


class HoldOut(Config):
    """Validation carved out of the training records by whole groups."""

    group: str
    """Column whose values stay together."""
    fraction: float = Field(gt=0, lt=1)
    """Share of the training groups, at least one group."""
    seed: int = 0
    """Seed of the choice; a group's place does not depend on the other groups' names."""


class ColumnSplit(Config):
    """The record table says it."""

    kind: Literal["column"] = "column"
    """The `column` form."""
    column: str
    """Column with the split of each record."""
    values: dict[SplitName, tuple[str | int | bool, ...]] | None = None
    """Cell values of each split, upper and lower case alike; null where the cells say train, validation and test."""
    disjoint: tuple[str, ...]
    """Columns, such as subject, of which no value may occur in two splits; [] allows any."""
    validation: HoldOut | None = None
    """Carve validation out of train; null leaves it as the table says."""

    def columns(self) -> list[str]:
        """Columns of the record table that this split reads."""
        return [self.column, *self.disjoint, *([self.validation.group] if self.validation else [])]

    def assign(self, records: Sequence[Record]) -> list[SplitName]:
        """The split of every record. Raises DataError for values that belong to none."""
        values = self.values or {name: (name,) for name in SPLITS}
        split_of: dict[str, SplitName] = {
            cell_text(cell).casefold(): name for name, cells in values.items() for cell in cells
        }
        unknown = sorted({r.row[self.column] for r in records if r.row[self.column].casefold() not in split_of})
        if unknown:
            raise DataError(
                f"column {self.column!r} holds values of no split",
                code="DATA_SPLIT",
                field=self.column,
                expected=sorted(split_of),
                got=unknown[:20],
                fix="list them under split.values",
            )
        return _hold_out(records, [split_of[r.row[self.column].casefold()] for r in records], self.validation)


class GroupSplit(Config):
    """Whole groups drawn at random."""

    kind: Literal["groups"] = "groups"
    """The `groups` form."""
    group: str
    """Column whose values stay together, for example subject."""
    fractions: dict[Literal["validation", "test"], Annotated[float, Field(gt=0, lt=1)]] = Field(min_length=1)
    """Share of the groups in validation and test, at least one group each; the rest trains."""
    seed: int = 0
    """Seed of the draw; a group's place in the order does not depend on the other groups' names."""

    @model_validator(mode="after")
    def _room_for_train(self) -> "GroupSplit":
        if sum(self.fractions.values()) >= 1:
            raise ValueError("fractions leave nothing to train on")
        return self

    @property
    def disjoint(self) -> tuple[str, ...]:
        """Columns of which no value may occur in two splits."""
        return (self.group,)

    def columns(self) -> list[str]:
        """Columns of the record table that this split reads."""
        return [self.group]

    def assign(self, records: Sequence[Record]) -> list[SplitName]:
        """The split of every record."""
        order = _shuffled({r.row[self.group] for r in records}, self.seed)
        split_of: dict[str, SplitName] = dict.fromkeys(order, "train")
        position = 0
        for name, fraction in sorted(self.fractions.items()):
            count = max(1, round(fraction * len(order)))
            split_of.update(dict.fromkeys(order[position : position + count], name))
            position += count
        return [split_of[r.row[self.group]] for r in records]


class ValueSplit(Config):
    """Groups listed by value; what is not listed trains."""

    kind: Literal["values"] = "values"
    """The `values` form."""
    group: str
    """Column whose values stay together, for example subject."""
    test: tuple[str | int, ...] = ()
    """Values that test."""
    validation: tuple[str | int, ...] | HoldOut = ()
    """Values that validate, or a share of the training groups of any column."""

    @model_validator(mode="after")
    def _disjoint_lists(self) -> "ValueSplit":
        if isinstance(self.validation, tuple) and (both := {*map(str, self.test)} & {*map(str, self.validation)}):
            raise ValueError(f"both test and validation: {sorted(both)}")
        return self

    @property
    def disjoint(self) -> tuple[str, ...]:
        """Columns of which no value may occur in two splits."""
        return (self.group,)

    def columns(self) -> list[str]:
        """Columns of the record table that this split reads."""
        return [self.group, *([self.validation.group] if isinstance(self.validation, HoldOut) else [])]

    def assign(self, records: Sequence[Record]) -> list[SplitName]:
        """The split of every record. Raises DataError for listed values that no record has."""
        listed = self.validation if isinstance(self.validation, tuple) else ()
        split_of: dict[str, SplitName] = {
            **{str(value): "test" for value in self.test},
            **{str(value): "validation" for value in listed},
        }
        unknown = sorted(split_of.keys() - {r.row[self.group] for r in records})
        if unknown:
            raise DataError(
                f"no record has {self.group} {unknown}", code="DATA_SPLIT", field=self.group, got=unknown[:20]
            )
        splits: list[SplitName] = [split_of.get(r.row[self.group], "train") for r in records]
        return _hold_out(records, splits, self.validation if isinstance(self.validation, HoldOut) else None)


class TrainOnly(Config):
    """Every record trains."""

    kind: Literal["train_only"] = "train_only"
    """The `train_only` form."""
    disjoint: tuple[str, ...] = ()
    """Nothing to separate."""

    def columns(self) -> list[str]:
        """No columns."""
        return []

    def assign(self, records: Sequence[Record]) -> list[SplitName]:
        """The split of every record."""
        return ["train"] * len(records)


AnySplit: TypeAlias = Annotated[ColumnSplit | GroupSplit | ValueSplit | TrainOnly, Field(discriminator="kind")]


def split_records(config: AnySplit, records: Sequence[Record]) -> list[SplitName]:
    """The split of every record. Raises DataError, or LeakError where a group would be on two sides."""
    needed = {*config.disjoint, *config.columns()}
    for record in records:
        if empty := sorted(column for column in needed if not record.row[column]):
            raise DataError(
                f"the split needs {empty}, which is empty", code="DATA_MISSING_VALUE", key=record.key, field=empty[0]
            )
    splits = config.assign(records)
    for column in config.disjoint:
        _check_disjoint(column, records, splits)
    return splits


def check_counts(config: AnySplit, counts: Mapping[SplitName, int]) -> None:
    """Raises DataError when training, or a split that the configuration asks for, has no samples."""
    empty = [name for name in SPLITS if not counts[name] and (name == "train" or name in promised_splits(config))]
    if empty:
        raise DataError(
            f"no samples in split {empty[0]}",
            code="DATA_EMPTY_SPLIT",
            field=empty[0],
            got=dict(counts),
            fix="check the split section, and the column it reads",
        )


def promised_splits(config: AnySplit) -> set[str]:
    """Splits that must not be empty."""
    match config:
        case ColumnSplit():
            return {"train", *(config.values or ())} | ({"validation"} if config.validation else set())
        case GroupSplit():
            return {"train", *config.fractions}
        case ValueSplit():
            return {"train"} | {name for name in ("test", "validation") if getattr(config, name)}
        case TrainOnly():
            return {"train"}


def _shuffled(values: set[str], seed: int) -> list[str]:
    return sorted(values, key=lambda value: (derive_seed(seed, "split", value), value))


def _hold_out(records: Sequence[Record], splits: list[SplitName], config: HoldOut | None) -> list[SplitName]:
    if config is None:
        return splits
    groups = _shuffled({r.row[config.group] for r, s in zip(records, splits, strict=True) if s == "train"}, config.seed)
    chosen = set(groups[: max(1, round(config.fraction * len(groups)))])
    return [
        "validation" if split == "train" and record.row[config.group] in chosen else split
        for record, split in zip(records, splits, strict=True)
    ]


def _check_disjoint(column: str, records: Sequence[Record], splits: Sequence[SplitName]) -> None:
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for record, split in zip(records, splits, strict=True):
        found[record.row[column]].setdefault(split, record.key)
    leaks = {value: where for value, where in found.items() if len(where) > 1}
    if leaks:
        value, where = next(iter(leaks.items()))
        places = " and ".join(f"{split} (record {key})" for split, key in where.items())
        raise LeakError(
            f"{column} {value!r} is in {places}; {len(leaks)} such values",
            code="LEAK",
            field=column,
            got=sorted(leaks)[:20],
            fix=f"split by whole {column}s (split.kind: groups or values)",
        )
