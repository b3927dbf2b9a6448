"""A real S3 protocol server on loopback, with an empty bucket named `bucket`."""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from tests.wait_for import wait_for

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


@dataclass(frozen=True)
class S3Server:
    port: int
    client: Any

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def names(self, prefix: str = "") -> list[str]:
        """Keys of the objects in the bucket."""
        return [
            entry["Key"] for entry in self.client.list_objects_v2(Bucket="bucket", Prefix=prefix).get("Contents", [])
        ]


@contextmanager
def s3_server() -> Iterator[S3Server]:
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with tempfile.NamedTemporaryFile() as log:  # a pipe would fill with what it logs of requests
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield _started(Path(log.name))
        finally:
            server.kill()
            server.wait()


def _started(log: Path) -> S3Server:
    address = re.compile(r"http://127\.0\.0\.1:(\d+)")
    wait_for(lambda: address.search(log.read_text()) is not None)
    found = address.search(log.read_text())
    assert found is not None
    key, secret, region = CREDENTIALS.values()
    client = boto3.client(
        "s3",
        endpoint_url=found[0],
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        region_name=region,
    )
    client.create_bucket(Bucket="bucket")
    return S3Server(int(found[1]), client)
