"""Bytes as a file for Arrow."""

import pyarrow as pa


def arrow_reader(payload: bytes) -> pa.BufferReader:
    """A file with a copy of `payload` in Arrow's memory.

    Arrow's IO threads drop the last reference to a file after the read is over. Were it a Python object, one that
    does so while the interpreter ends would abort the process (apache/arrow#34314).
    """
    copy = pa.BufferOutputStream()
    copy.write(payload)
    return pa.BufferReader(copy.getvalue())
