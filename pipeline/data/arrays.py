"""Arrays from npy and npz files that may be hostile: no pickles, sizes checked before memory is taken."""

import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from pipeline.data.raw_files import MAX_FILE_BYTES
from pipeline.errors import DataError, SecurityError

_MAX_RATIO, _SMALL = 200, 16 << 20
"""Arrays that shrank more than this are bombs, unless they are small; real readings hardly shrink tenfold."""
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_npy(path: Path) -> np.ndarray:
    """The array of one npy file. Raises DataError, or SecurityError for pickled objects."""
    with path.open("rb") as file:
        return _read_array(file, path.stat().st_size, path.name)


def npz_names(path: Path) -> list[str]:
    """Array names in an npz file. Raises DataError when it is not one."""
    with _open_zip(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


def read_npz(path: Path, name: str) -> np.ndarray:
    """One array of an npz file. Raises DataError, or SecurityError for pickled objects."""
    with _open_zip(path) as archive:
        try:
            info = archive.getinfo(f"{name}.npy")
        except KeyError:
            names = [member.removesuffix(".npy") for member in archive.namelist()]
            raise DataError(
                f"{path.name} has no array {name!r}", code="DATA_MISSING_FIELD", expected=name, got=names
            ) from None
        if info.file_size > MAX_FILE_BYTES:
            raise DataError(
                f"{path.name}: array {name!r} is too large",
                code="DATA_TOO_LARGE",
                expected=f"<= {MAX_FILE_BYTES} bytes",
                got=info.file_size,
            )
        if info.file_size > max(_SMALL, _MAX_RATIO * info.compress_size):
            raise DataError(
                f"{path.name}: array {name!r} shrank too much to be a recording",
                code="DATA_TOO_LARGE",
                expected=f"<= {_SMALL} bytes, or <= {_MAX_RATIO} times its size in the file",
                got={"bytes": info.file_size, "ratio": info.file_size // max(1, info.compress_size)},
                fix="save it with numpy.savez, which does not compress",
            )
        try:
            with archive.open(info) as file:
                return _read_array(file, info.file_size, f"{path.name}:{name}")
        except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
            raise _damaged(f"{path.name}:{name}", error) from error


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise _damaged(path.name, error) from error


def _damaged(name: str, error: Exception) -> DataError:
    return DataError(f"{name} is damaged: {error}", code="DATA_ARRAY", fix="write the file again with numpy.savez")


def _read_array(file: IO[bytes], size: int, name: str) -> np.ndarray:
    try:
        version = np.lib.format.read_magic(file)
        shape, fortran, dtype = _HEADERS[version](file)
    except (ValueError, KeyError, EOFError) as error:
        raise _damaged(name, error) from error
    if dtype.hasobject:
        raise SecurityError(
            f"{name} holds pickled objects", code="SEC_FORBIDDEN_TYPE", got=str(dtype), fix="save a plain numeric array"
        )
    wanted = dtype.itemsize * int(np.prod(shape, dtype=object))
    stored = size - file.tell()
    if wanted != stored:
        raise DataError(
            f"{name}: its header does not match its size", code="DATA_TRUNCATED", expected=wanted, got=stored
        )
    payload = file.read(wanted)
    if len(payload) != wanted:
        raise DataError(f"{name} ends early", code="DATA_TRUNCATED", expected=wanted, got=len(payload))
    return np.frombuffer(payload, dtype).reshape(shape, order="F" if fortran else "C")
