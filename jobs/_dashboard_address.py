"""Where the jobs of a cluster are submitted: the address of its Ray dashboard."""

import contextlib
from ipaddress import ip_address
from urllib.parse import urlsplit

from pipeline.credentials import redact
from pipeline.errors import ConfigError


def check_address(address: str) -> None:
    """Ray takes HOST:PORT for its control store, waits for it and gives up with a traceback."""
    try:
        parts = urlsplit(address)
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise ConfigError(
            "no address of a Ray dashboard",
            code="CONFIG_ADDRESS",
            field="--address",
            expected="http://HEAD:8265",
            got=redact(address),
        )


def is_here(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    with contextlib.suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"
