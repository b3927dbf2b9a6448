"""Samples of WebDataset archives written by others: one row per sample, its cells from small members."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import Field, field_validator

from modalities.spec import Config
from pipeline.data.foreign_tar import ForeignArchive
from pipeline.data.member_source import SUFFIX
from pipeline.data.raw_files import Row, decode_utf8, resolve_inside
from pipeline.data.records import cell_text
from pipeline.data.ustar import Member
from pipeline.errors import DataError, KindredError, Problems, SecurityError

_MAX_CELL_BYTES = 1 << 20
RESERVED = ("key", "shard")


class MemberColumn(Config):
    """A column of the record table that is read from a member of each sample."""

    suffix: str = Field(pattern=SUFFIX)
    """Suffix of the member: a text such as cls or txt, or JSON."""
    at: tuple[str, ...] = ()
    """Names that lead to the value in a JSON object, for example [meta, subject]; empty takes a text as it is."""


class WebdatasetRecords(Config):
    """Tar archives of samples. They are indexed in place: nothing is copied, extracted or changed."""

    kind: Literal["webdataset"] = "webdataset"
    """The `webdataset` form."""
    path: str
    """Archives below the data root, a pattern such as "shards/*.tar"; in order of their names."""
    key: str | None
    """Column or template that names a sample, for example key, its name in the archive; null numbers the samples."""
    columns: dict[str, MemberColumn] = Field(default_factory=dict)
    """Further columns; key (the name in the archive) and shard (the archive) are always there."""
    ignore: tuple[str, ...] | Literal["all"] = ()
    """Suffixes of members that are left out on purpose; all leaves out whatever is not named."""

    @field_validator("columns")
    @classmethod
    def _not_reserved(cls, columns: dict[str, MemberColumn]) -> dict[str, MemberColumn]:
        if taken := sorted(columns.keys() & set(RESERVED)):
            raise ValueError(f"{taken} are always there")
        return columns

    @field_validator("path")
    @classmethod
    def _inside(cls, path: str) -> str:
        parts = PurePosixPath(path).parts
        if not parts or PurePosixPath(path).is_absolute() or ".." in parts or "**" in parts:
            raise ValueError("a pattern below the data root, without .. and **")
        return path

    def files(self, root: Path) -> list[str]:
        """Names of the archives."""
        return sorted(path.relative_to(root).as_posix() for path in root.glob(self.path))

    def samples(self, archive: ForeignArchive, suffixes: Iterable[str]) -> dict[str, dict[str, Member]]:
        """Key -> suffix -> member of an archive, for the members of these suffixes and of the columns."""
        declared = sorted({*suffixes, *(column.suffix for column in self.columns.values())})
        return archive.samples(declared, None if self.ignore == "all" else self.ignore)

    def rows(self, root: Path, suffixes: Sequence[str]) -> list[Row]:
        """Rows as text, of all archives. suffixes: those of the streams. Raises Problems for unusable archives."""
        rows: list[Row] = []
        problems: list[KindredError] = []
        for name in self.files(root):
            try:
                with ForeignArchive(resolve_inside(root, name), name) as archive:
                    rows += self._rows(archive, suffixes)
            except (DataError, SecurityError) as error:
                problems.append(error)
            except OSError as error:
                problems.append(DataError(f"cannot read {name}: {error.strerror}", code="DATA_UNREADABLE", shard=name))
        if problems:
            raise Problems(problems)
        return rows

    def _rows(self, archive: ForeignArchive, suffixes: Sequence[str]) -> Iterator[Row]:
        for key, members in self.samples(archive, suffixes).items():
            cells = {"key": key, "shard": archive.shard}
            documents: dict[str, object] = {}
            try:
                for name, column in self.columns.items():
                    cells[name] = _cell(archive, members, column, documents)
            except DataError as error:
                error.shard, error.key = archive.shard, key
                raise
            yield cells


def _cell(
    archive: ForeignArchive, members: Mapping[str, Member], column: MemberColumn, documents: dict[str, object]
) -> str:
    member = members.get(column.suffix)
    if member is None:
        return ""
    if column.suffix not in documents:
        if member.size > _MAX_CELL_BYTES:
            raise DataError(
                "a column's member is too large",
                code="DATA_TOO_LARGE",
                field=column.suffix,
                expected=f"<= {_MAX_CELL_BYTES} bytes",
                got=member.size,
                fix="only small texts and JSON are columns; declare the member as a stream",
            )
        text = decode_utf8(archive.read(member), name=member.name)
        documents[column.suffix] = _parse(text, member.name) if column.at else text.strip()
    value = documents[column.suffix]
    for name in column.at:
        if not isinstance(value, Mapping):
            raise DataError(
                f"{member.name} has no object above {name!r}",
                code="DATA_FIELD",
                expected=list(column.at),
                fix="check the column's at",
            )
        value = value.get(name)
        if value is None:
            return ""
    if isinstance(value, dict | list):
        raise DataError(
            f"{member.name} holds no single value",
            code="DATA_DTYPE",
            expected=list(column.at),
            fix="name the value inside it in the column's at",
        )
    return cell_text(value)


def _parse(text: str, name: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_distinct, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{name} is no usable JSON: {str(error)[:200]}", code="DATA_JSON", fix="write the member again"
        ) from error


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name occurs twice in an object")
    return dict(pairs)


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is no JSON")
