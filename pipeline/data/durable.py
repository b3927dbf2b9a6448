"""Files that are whole or absent after any crash: written under another name, flushed, renamed."""

import os
from pathlib import Path


def write_durably(path: Path, payload: bytes | memoryview) -> None:
    """Write or replace a file; `flush_folder` makes its name durable too."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(payload)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def flush_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
