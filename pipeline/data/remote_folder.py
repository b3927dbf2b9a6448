"""Files below a URL, read as plain streams and written whole, through fsspec, on allowed hosts only.

Redirects are refused and proxies of the environment ignored: both would lead past the address check. S3 credentials and
region come from where boto looks for them (environment, profile, instance role); the endpoint does not.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import aiohttp
from aiohttp.abc import AbstractResolver
from fsspec.asyn import sync
from fsspec.implementations.http import HTTPFileSystem

from pipeline.data.allowed_hosts import AllowedHosts, GuardedResolver, system_resolver
from pipeline.data.place import DatasetUrl, parse_place
from pipeline.data.transfer_failed import explained
from pipeline.errors import EnvironmentFault, SecurityError

_SERVICES = {"s3": "amazonaws.com", "gs": "googleapis.com"}
_SLOWEST_UPLOAD = 256 << 10  # bytes per second; no socket timeout tells that a server takes nothing


class Stream(Protocol):
    """The body of a reply."""

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, b"" at the end."""
        ...

    def close(self) -> None:
        """Let the connection go."""
        ...


@dataclass
class RemoteFolder:
    """endpoint: URL of an S3-compatible server, None for Amazon's. io_timeout_s: for a connection and between bytes.

    section: part of the recipe that names the folder, for messages. Only buckets (s3, gs) can be listed and written.
    """

    url: DatasetUrl
    allowed_hosts: tuple[str, ...] = ()
    endpoint: str | None = None
    io_timeout_s: float = 30.0
    resolver: Callable[[], AbstractResolver] = system_resolver
    section: str = "data"

    def __post_init__(self) -> None:
        self._filesystem: tuple[int, Any] | None = None
        self.hosts = self._check_hosts()

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_filesystem": None}

    def open(self, name: str) -> Stream:
        """The file `name` from its first byte. Raises TransferFailed, SecurityError."""
        with explained():
            return _Guarded(self._open(name))

    def _open(self, name: str) -> Stream:
        filesystem = self._connected()
        if self.url.scheme == "s3":
            reply = filesystem.call_s3("get_object", Bucket=self.url.host, Key=f"{self.url.path}/{name}".lstrip("/"))
            return _S3Body(filesystem, reply["Body"])
        if self.url.scheme == "gs":
            return filesystem.open(self._key(name), "rb", cache_type="none")
        # Block size 0 is one streamed GET; a size spares the HEAD that would ask for it.
        return filesystem.open(self.url.file(name), "rb", block_size=0, size=1)

    def names(self) -> list[str]:
        """Every file below the folder, one try. Raises TransferFailed, SecurityError."""
        root = self._key("")
        with explained():
            filesystem = self._connected()
            filesystem.invalidate_cache()
            return [key.removeprefix(root) for key in filesystem.find(root.rstrip("/")) if key.startswith(root)]

    def put(self, name: str, content: Path | bytes) -> None:
        """Write or replace the file `name`, one try; it is there whole or not at all. Raises as `names`."""
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        with explained():
            filesystem = self._connected()
            limit_s = self.io_timeout_s + size / _SLOWEST_UPLOAD
            if isinstance(content, bytes):
                sync(filesystem.loop, filesystem._pipe_file, self._key(name), content, timeout=limit_s)
            else:
                sync(filesystem.loop, filesystem._put_file, str(content), self._key(name), timeout=limit_s)

    def remove(self, name: str) -> None:
        """Remove the file `name` where there is one, one try. Raises as `names`."""
        with explained():
            self._connected().rm_file(self._key(name))

    def _key(self, name: str) -> str:
        return f"{self.url.host}{self.url.path}/{name}"

    def _check_hosts(self) -> AllowedHosts:
        server = self.url
        if self.endpoint is not None:
            given = parse_place(self.endpoint)
            if self.url.scheme != "s3" or not isinstance(given, DatasetUrl) or given.scheme not in {"http", "https"}:
                raise SecurityError(
                    "an endpoint is the http(s) URL of an S3 server",
                    code="SEC_URL_SCHEME",
                    field=f"{self.section}.endpoint",
                    expected=f"https://host, with {self.section}.path s3://bucket/folder",
                )
            server = given
        named = frozenset(host.lower() for host in self.allowed_hosts)
        host, below = _SERVICES.get(server.scheme, server.host), server.scheme in _SERVICES
        hosts = AllowedHosts(host, named, below, self.section)
        hosts.check_host(hosts.host)
        if _is_address(hosts.host):  # connected to without a look-up
            hosts.check_address(hosts.host, hosts.host)
        return hosts

    def _connected(self) -> Any:
        """The file system of this process: its event loop does not survive a fork."""
        if self._filesystem is None or self._filesystem[0] != os.getpid():
            make = {"s3": self._s3, "gs": self._gs}.get(self.url.scheme, self._http)
            self._filesystem = os.getpid(), make()
        return self._filesystem[1]

    def _guard(self) -> GuardedResolver:
        return GuardedResolver(self.hosts, self.resolver)

    def _http(self) -> HTTPFileSystem:
        async def client(**_: object) -> aiohttp.ClientSession:
            seconds = self.io_timeout_s
            return aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(resolver=self._guard()),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=seconds, sock_read=seconds),
                headers={"Accept-Encoding": "identity"},
                auto_decompress=False,
                raise_for_status=_check_status,
            )

        return HTTPFileSystem(get_client=client, encoded=True, allow_redirects=False, skip_instance_cache=True)

    def _s3(self) -> Any:
        s3fs = _imported("s3fs", "s3")
        config = {
            "connect_timeout": self.io_timeout_s,
            "read_timeout": self.io_timeout_s,
            "retries": {"total_max_attempts": 1},
            "proxies": {},
            "ignore_configured_endpoint_urls": True,
            "connector_args": {"resolver": self._guard()},
        }
        if self.endpoint is not None:
            config["s3"] = {"addressing_style": "path"}  # servers of one's own rarely have a name for every bucket
        options = {"config_kwargs": config, "max_concurrency": 1, "skip_instance_cache": True}
        filesystem = s3fs.S3FileSystem(endpoint_url=self.endpoint, **options)
        filesystem.retries = 1
        return filesystem

    def _gs(self) -> Any:
        gcsfs = _imported("gcsfs", "gs")
        return gcsfs.GCSFileSystem(endpoint_url="https://storage.googleapis.com", skip_instance_cache=True)


class _S3Body:
    """The body of a GetObject reply, read from outside its event loop."""

    def __init__(self, filesystem: Any, body: Any) -> None:
        self._loop, self._body = filesystem.loop, body

    def read(self, size: int) -> bytes:
        chunk: Any = sync(self._loop, self._body.read, size)
        return chunk

    def close(self) -> None:
        async def close() -> None:
            self._body.close()

        sync(self._loop, close)


class _Guarded:
    """A stream whose failures are TransferFailed."""

    def __init__(self, stream: Stream) -> None:
        self._stream, self.close = stream, stream.close

    def read(self, size: int) -> bytes:
        with explained():
            return self._stream.read(size)


async def _check_status(reply: aiohttp.ClientResponse) -> None:
    if 300 <= reply.status < 400:
        raise SecurityError(
            "the server redirects, which is refused",
            code="SEC_URL_REDIRECT",
            field="data.path",
            got=reply.status,
            fix="give the address that it redirects to, if you trust it",
        )
    reply.raise_for_status()


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def _imported(module: str, extra: str) -> Any:
    try:
        return __import__(module)
    except ImportError as error:
        raise EnvironmentFault(
            f"{extra}:// needs {module}", code="ENV_MISSING_PACKAGE", fix=f"pip install 'kindred[{extra}]'"
        ) from error
