"""Where a data set lies: a local folder, or a URL of one of four schemes. A path is never parsed as a URL."""

import re
from dataclasses import dataclass
from pathlib import Path

import fsspec

from pipeline.errors import SecurityError

# What readers of shards elsewhere take as a command or a protocol; fsspec's own list is added.
_PROTOCOLS = {"pipe", "ais", "ftps", "hf", "htgs", "scp"} | set(fsspec.available_protocols())
_PATH = ("/", "./", "../", "~")
_URL = re.compile(
    r"(?P<scheme>s3|gs|https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>(?:/[A-Za-z0-9._~!$&'()*+,;=:%-]+)*)/?"
)


@dataclass(frozen=True)
class DatasetUrl:
    """A remote folder. host: without brackets, lower case; the bucket of s3 and gs. path: starts with / or is empty."""

    scheme: str
    host: str
    port: int | None
    path: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}{'' if self.port is None else f':{self.port}'}{self.path}"

    def file(self, name: str) -> str:
        """URL of a file below the folder."""
        return f"{self}/{name}"


def parse_place(text: str, *, field: str = "data.path") -> Path | DatasetUrl:
    """What `data.path`, or another `field` of a recipe, means.

    Raises SecurityError for commands, other schemes, chains, secrets and queries in URLs.

    Text that starts with /, ./, ../ or ~ is a path whatever follows.
    """
    if text.startswith(_PATH):
        return Path(text)
    found = _URL.fullmatch(text)
    if found is not None and "::" not in found["path"] and not {".", ".."} & set(found["path"].split("/")):
        port = int(found["port"]) if found["port"] else None
        return DatasetUrl(found["scheme"], found["host"].strip("[]").rstrip(".").lower(), port, found["path"])
    scheme, colon, _ = text.partition(":")
    if text == "-" or "://" in text or (colon and scheme.lower() in _PROTOCOLS):
        raise _refused(text, field)
    return Path(text)


def absolute(place: Path | DatasetUrl) -> Path | DatasetUrl:
    """The same place for processes with another working folder."""
    return place.resolve() if isinstance(place, Path) else place


def redact(text: str) -> str:
    """A URL without user, password, query and fragment; of other schemes the scheme alone.

    >>> redact("https://me:secret@host/data?token=x")
    'https://host/data'
    >>> redact("pipe:curl -H secret")
    'pipe:...'
    """
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in {"s3", "gs", "http", "https"}:
        return f"{text.partition(':')[0]}:..." if ":" in text else text
    return f"{scheme}://{re.split('[?#]', rest.rpartition('@')[2])[0]}"


def _refused(text: str, field: str) -> SecurityError:
    allowed = text.startswith(("s3://", "gs://", "http://", "https://"))
    return SecurityError(
        f"{redact(text)} is no place that can be used",
        code="SEC_URL_FORMAT" if allowed and "::" not in text else "SEC_URL_SCHEME",
        field=field,
        expected="a folder, or s3://, gs://, http:// or https:// with a host and plain path",
        fix="leave out user, query, fragment and `..`; write ./NAME for a folder whose name looks like a URL",
    )
