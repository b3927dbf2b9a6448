"""Members of tar archives written by others, from their headers alone: ustar, with PAX and GNU names where harmless."""

import os
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from pipeline.data.ustar import BLOCK, REGULAR, Header, Member, after, check_zeros, read_header
from pipeline.errors import DataError, KindredError, SecurityError

MAX_MEMBER_BYTES = 256 << 20
_MAX_EXTENSION_BYTES = 64 << 10
_MAX_NAME_BYTES = 1024
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")  # gzip, bzip2, xz, zstd
_HOLDS_CODE = frozenset({"dill", "joblib", "pickle", "pkl", "pt", "pth", "py", "pyc", "pyd"})
_DIRECTORY, _PAX, _PAX_GLOBAL, _GNU_NAME = b"5", b"x", b"g", b"L"


class ForeignArchive:
    """An open archive; use in `with`. shard: its name in errors."""

    def __init__(self, path: Path, shard: str) -> None:
        self.shard = shard
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.bytes = os.fstat(self._descriptor).st_size

    def __enter__(self) -> "ForeignArchive":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def read(self, member: Member) -> bytes:
        """A member's payload. Raises DataError."""
        if member.size > MAX_MEMBER_BYTES:
            raise self._error("a member is too large", "DATA_TOO_LARGE", member.offset, MAX_MEMBER_BYTES, member.size)
        return self._read(member.offset, member.size)

    def chunks(self, size: int = 1 << 20) -> Iterator[bytes]:
        """The whole file."""
        for start in range(0, self.bytes, size):
            yield os.pread(self._descriptor, size, start)

    def samples(self, suffixes: Sequence[str], ignore: Sequence[str] | None) -> dict[str, dict[str, Member]]:
        """Key -> suffix -> member, keys in order of their first member, members of a sample in any order.

        A name is split at the longest declared suffix that ends it, so keys may hold dots. Suffixes in `ignore` are
        left out (None: all that are not declared). Raises DataError for other names, for names that differ in nothing
        but case or Unicode form, and where there is no sample; SecurityError for other members that can hold code.
        """
        found: dict[str, dict[str, Member]] = {}
        seen: dict[str, Member] = {}
        longest = sorted({*suffixes, *(ignore or ())}, key=len, reverse=True)
        for member in self.members():
            twin = seen.setdefault(unicodedata.normalize("NFC", member.name).casefold(), member)
            if twin is not member:
                places = [f"{m.name} at {m.offset}" for m in (twin, member)]
                raise self._error(f"{member.name} occurs twice", "DATA_DUPLICATE_KEY", member.offset, got=places)
            suffix = next((s for s in longest if member.name.endswith(f".{s}")), None)
            if suffix is None and ignore is not None:
                raise self._undeclared(member, longest)
            if suffix in suffixes:
                assert suffix is not None  # noqa: S101 - suffixes holds no None
                found.setdefault(member.name.removesuffix(f".{suffix}"), {})[suffix] = member
        if not found:
            raise self._error("the archive holds no sample", "DATA_EMPTY_SHARD", 0, list(suffixes))
        return found

    def _undeclared(self, member: Member, declared: Sequence[str]) -> KindredError:
        fix = f"declare its suffix as a stream or column, or list it under records.ignore ({member.name})"
        if member.name.rpartition(".")[2].casefold() in _HOLDS_CODE:
            message = "a member of a type that can hold code"
            return self._error(message, "SEC_FORBIDDEN_TYPE", member.offset, declared, fix=fix, kind=SecurityError)
        return self._error("a member of no stream", "DATA_UNKNOWN_FIELD", member.offset, declared, fix=fix)

    def members(self) -> Iterator[Member]:
        """All regular files in order; directories are passed over.

        Raises DataError for damage, SecurityError for links, devices, sparse files and names that leave the archive.
        """
        self._refuse_compressed()
        position, name, size = 0, None, None
        while any(block := self._read(position, BLOCK)):
            header = read_header(block, shard=self.shard, offset=position)
            start, position = position + BLOCK, after(position + BLOCK, header.size)
            match header.kind:
                case kind if kind in REGULAR:
                    used = header.size if size is None else size
                    position = after(start, used)
                    if position > self.bytes:
                        raise self._error(
                            "the archive ends inside a member", "DATA_TRUNCATED", start, position, self.bytes
                        )
                    yield Member(self._name(header.name if name is None else name, start), start, used)
                case kind if kind == _DIRECTORY and header.size == 0:
                    pass
                case kind if kind == _PAX:
                    name, size = self._pax(header, start)
                    continue
                case kind if kind == _PAX_GLOBAL and self._pax(header, start) == (None, None):
                    continue
                case kind if kind == _GNU_NAME:
                    name = self._extension(header, start).rstrip(b"\0")
                    continue
                case _:
                    message = "the archive holds something other than plain files"
                    raise self._error(message, "SEC_TAR_MEMBER", start - BLOCK, kind=SecurityError)
            name = size = None
        check_zeros(self._read, position, self.bytes, shard=self.shard)

    def _refuse_compressed(self) -> None:
        if os.pread(self._descriptor, 6, 0).startswith(_COMPRESSED):
            fix = "decompress it: samples are read by their place in the file"
            raise self._error("the archive is compressed", "DATA_COMPRESSED", 0, "a plain tar", fix=fix)

    def _read(self, offset: int, size: int) -> bytes:
        payload = os.pread(self._descriptor, size, offset)
        if len(payload) != size:
            raise self._error("the archive has no end mark", "DATA_TRUNCATED", offset, size, len(payload))
        return payload

    def _extension(self, header: Header, start: int) -> bytes:
        if header.size > _MAX_EXTENSION_BYTES:
            raise self._error("an extended header is too large", "DATA_TAR", start, _MAX_EXTENSION_BYTES, header.size)
        return self._read(start, header.size)

    def _pax(self, header: Header, start: int) -> tuple[bytes | None, int | None]:
        """Name and size that a PAX header sets; other keywords, such as times, do not matter here."""
        content, name, size = self._extension(header, start), None, None
        try:
            while content:
                length = int(content[: content.index(b" ", 0, 8)])
                keyword, _, value = content[:length].split(b" ", 1)[1].partition(b"=")
                if not 0 < length <= len(content) or not value.endswith(b"\n"):
                    raise ValueError("length of a record")
                if keyword.startswith(b"GNU.sparse"):
                    raise self._error("sparse files are refused", "SEC_TAR_MEMBER", start, kind=SecurityError)
                name = value[:-1] if keyword == b"path" else name
                size = _plain_size(value[:-1]) if keyword == b"size" else size
                content = content[length:]
        except (ValueError, IndexError) as error:
            raise self._error("damaged extended header", "DATA_TAR", start) from error
        return name, size

    def _name(self, raw: bytes, offset: int) -> str:
        try:
            name = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._error("a member's name is not UTF-8", "DATA_NAME", offset, got=raw.hex()[:200]) from error
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name:
            raise self._error("a member's name leaves the archive", "SEC_PATH", offset, got=name, kind=SecurityError)
        if not 0 < len(raw) <= _MAX_NAME_BYTES or not name.isprintable():
            raise self._error("a member's name is not usable", "DATA_NAME", offset, got=name[:200])
        return name.removeprefix("./")

    def _error(
        self,
        message: str,
        code: str,
        offset: int,
        expected: object = None,
        got: object = None,
        *,
        fix: str = "write the archive again, or leave it out",
        kind: type[KindredError] = DataError,
    ) -> KindredError:
        return kind(message, code=code, shard=self.shard, offset=offset, expected=expected, got=got, fix=fix)


def _plain_size(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > 18:
        raise ValueError("size")
    return int(digits)
