"""Access to a user's raw files: every path stays inside the data root, every read has a size limit."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from pipeline.errors import DataError, SecurityError

Row: TypeAlias = Mapping[str, str]
"""Cells of one record as text; "" where a cell is empty."""

MAX_FILE_BYTES = 4 << 30
_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")


def template_columns(template: str) -> list[str]:
    """Columns named in a template: "{subject}_{trial}" -> ["subject", "trial"]."""
    return _PLACEHOLDER.findall(template)


def render(template: str, row: Row) -> str:
    """Fill `{column}` from the row; "" when any of the cells is empty. Raises KeyError for an unknown column."""
    cells = {column: row[column] for column in template_columns(template)}
    if not all(cells.values()):
        return ""
    return _PLACEHOLDER.sub(lambda match: cells[match.group(1)], template)


def resolve_inside(root: Path, name: str) -> Path:
    """The file `name` below root. Raises SecurityError when it, or a link it goes through, leaves the root."""
    path = Path(name)
    if "\0" not in name and not path.is_absolute():
        resolved = (root / path).resolve()
        if resolved.is_relative_to(root.resolve()):
            return resolved
    raise SecurityError(
        f"the path {name!r} leaves the data root",
        code="SEC_PATH",
        got=name,
        fix="use paths relative to data.root, without links that point outside it",
    )


def find_file(root: Path, name: str) -> Path:
    """An existing regular file below root of an allowed size. Raises SecurityError or DataError."""
    path = resolve_inside(root, name)
    if not path.is_file():
        raise DataError(f"no such file: {name}", code="DATA_MISSING_FILE", got=name, fix="check the path and data.root")
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise DataError(f"{name} is too large", code="DATA_TOO_LARGE", expected=f"<= {MAX_FILE_BYTES} bytes", got=size)
    return path


def decode_utf8(payload: bytes, *, name: str) -> str:
    """Strict UTF-8 without a byte order mark. Raises DataError with the byte offset."""
    try:
        return payload.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name} is not UTF-8 (byte {error.start})",
            code="DATA_ENCODING",
            offset=error.start,
            fix="convert the file to UTF-8",
        ) from error
