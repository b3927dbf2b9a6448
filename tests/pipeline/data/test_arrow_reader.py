"""Files for Arrow that hold nothing of Python."""

import sys

from pipeline.data.arrow_reader import arrow_reader


def test_it_reads_the_bytes_and_keeps_no_reference_to_them() -> None:
    payload = bytes(range(256)) * 3
    before = sys.getrefcount(payload)
    reader = arrow_reader(payload)
    assert sys.getrefcount(payload) == before
    assert reader.read() == payload
