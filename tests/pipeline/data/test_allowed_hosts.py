"""Requests reach named hosts and public addresses only, whatever names, redirects and DNS say."""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.data.allowed_hosts import AllowedHosts, GuardedResolver, is_public
from pipeline.data.place import DatasetUrl, parse_place
from pipeline.data.remote_folder import RemoteFolder
from pipeline.errors import SecurityError
from tests.pipeline.data.faulty_server import FaultyServer, serving, status

PRIVATE = [
    "127.0.0.1",
    "127.1",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "fec0::1",
    "3fff::1",
    "fd00:ec2::254",
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FaultyServer]:
    (tmp_path / "manifest.json").write_text("{}")
    with serving(tmp_path) as running:
        yield running


class Answers(AbstractResolver):
    """A name server that gives one answer after the other."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        address = self.addresses.pop(0)
        kind = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=0)]

    async def close(self) -> None:
        pass


def remote(url: str, *allowed: str, resolver: Callable[[], AbstractResolver] | None = None) -> RemoteFolder:
    place = parse_place(url)
    assert isinstance(place, DatasetUrl)
    options = {} if resolver is None else {"resolver": resolver}
    return RemoteFolder(place, allowed, io_timeout_s=5.0, **options)


def refusal(act: Callable[[], object]) -> SecurityError:
    with pytest.raises(SecurityError) as caught:
        act()
    assert caught.value.exit_code == 77
    return caught.value


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_public_is_refused_unless_its_host_is_named(address: str) -> None:
    error = refusal(lambda: AllowedHosts("data.example").check_address("data.example", address))

    assert error.code == "SEC_URL_ADDRESS"
    AllowedHosts("data.example", frozenset({"data.example"})).check_address("data.example", address)


@example(ipaddress.ip_address("2002:100::"))
@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_public_means_global_unicast_and_is_the_same_inside_ipv6(
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if is_public(str(ip)):
        assert ip.is_global or ip in ipaddress.ip_network("::ffff:0:0/96")
        assert not ip.is_multicast
    if ip.version == 4:
        assert is_public(f"::ffff:{ip}") == is_public(f"64:ff9b::{ip}") == is_public(str(ip))


def test_only_named_hosts_are_contacted_and_names_below_a_service_count() -> None:
    assert (
        refusal(lambda: AllowedHosts("a.example", frozenset({"b.example"})).check_host("a.example")).code
        == "SEC_URL_HOST"
    )
    assert refusal(lambda: AllowedHosts("a.example").check_host("x.a.example"))
    AllowedHosts("amazonaws.com", below=True).check_host("bucket.s3.eu-west-1.amazonaws.com")
    assert refusal(lambda: AllowedHosts("amazonaws.com", below=True).check_host("evilamazonaws.com"))


@pytest.mark.fault("S04")
@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/latest/meta-data", "http://127.0.0.1:8265/api", "http://[::1]/", "http://127.1/x"]
)
def test_literal_addresses_are_refused_before_anything_is_sent(url: str) -> None:
    assert refusal(lambda: remote(url)).code == "SEC_URL_ADDRESS"


@pytest.mark.fault("S04")
def test_loopback_is_not_reached_without_being_named(server: FaultyServer) -> None:
    refusal(lambda: remote(server.url))
    refusal(lambda: remote(server.url.replace("127.0.0.1", "localhost")).open("manifest.json"))
    refusal(lambda: remote(server.url, "localhost"))

    assert server.hits == []
    assert remote(server.url, "127.0.0.1").open("manifest.json").read(10) == b"{}"
    assert server.hits == ["/manifest.json"]


@pytest.mark.fault("S04")
@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1"])
def test_a_name_that_resolves_to_loopback_is_refused(server: FaultyServer, address: str) -> None:
    answers = Answers(address)
    url = server.url.replace("127.0.0.1", "data.example")

    error = refusal(lambda: remote(url, resolver=lambda: answers).open("manifest.json"))

    assert error.code == "SEC_URL_ADDRESS"
    assert answers.asked == ["data.example"]
    assert server.hits == []


@pytest.mark.fault("S04")
def test_every_new_answer_of_a_name_server_is_checked() -> None:
    """DNS rebinding: the first answer is harmless, the second is loopback."""
    answers = Answers("93.184.216.34", "127.0.0.1")
    guarded = GuardedResolver(AllowedHosts("data.example"), lambda: answers)

    assert asyncio.run(guarded.resolve("data.example"))[0]["host"] == "93.184.216.34"
    assert refusal(lambda: asyncio.run(guarded.resolve("data.example"))).code == "SEC_URL_ADDRESS"


@pytest.mark.fault("S04")
@pytest.mark.parametrize(
    "location", ["http://127.0.0.1:{port}/secret", "file:///etc/passwd", "/elsewhere", "http://h/"]
)
@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_refused(server: FaultyServer, tmp_path: Path, location: str, code: int) -> None:
    with serving(tmp_path) as inside:
        target = location.format(port=inside.server_address[1])
        server.faults["/manifest.json"] = [status(code, Location=target)]

        error = refusal(lambda: remote(server.url, "127.0.0.1").open("manifest.json"))

        assert error.code == "SEC_URL_REDIRECT"
        assert inside.hits == []
    assert server.hits == ["/manifest.json"]


@pytest.mark.fault("S03", "S04")
def test_the_environment_leads_nowhere_else(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tmp_path) as inside:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "USE_AIS_FOR", "WDS_CACHE", "GOPEN_VERBOSE"):
            monkeypatch.setenv(name, inside.url)
        monkeypatch.setenv("GOPEN_REWRITE", f"{server.url}={inside.url}")

        assert remote(server.url, "127.0.0.1").open("manifest.json").read(10) == b"{}"

        assert inside.hits == []


@pytest.mark.parametrize("endpoint", ["file:///x", "s3://other", "/folder", "http://user:pw@host", "pipe:cat"])
def test_an_endpoint_is_a_plain_http_url(endpoint: str) -> None:
    place = parse_place("s3://bucket/x")
    assert isinstance(place, DatasetUrl)

    refusal(lambda: RemoteFolder(place, endpoint=endpoint))


def test_an_endpoint_obeys_the_same_rule() -> None:
    place = parse_place("s3://bucket/x")
    assert isinstance(place, DatasetUrl)

    assert refusal(lambda: RemoteFolder(place, endpoint="http://169.254.169.254")).code == "SEC_URL_ADDRESS"
    assert refusal(lambda: RemoteFolder(place, ("minio",), endpoint="http://other")).code == "SEC_URL_HOST"
