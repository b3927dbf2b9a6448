"""A bucket that the tests of the folder share; each uses a folder of its own in it."""

from collections.abc import Iterator

import pytest

from tests.faulty_proxy import FaultyProxy, faulty
from tests.s3_server import CREDENTIALS, S3Server, s3_server


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    with s3_server() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture
def proxy(s3: S3Server) -> Iterator[FaultyProxy]:
    with faulty(("127.0.0.1", s3.port)) as running:
        yield running


@pytest.fixture
def place(request: pytest.FixtureRequest) -> str:
    """A folder of the bucket for this test."""
    return request.node.nodeid.rpartition("::")[2].replace("[", "-").replace("]", "")
