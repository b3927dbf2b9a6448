"""Contents of a folder, to compare two of them."""

import hashlib
from pathlib import Path


def digest(folder: Path) -> dict[str, str]:
    """sha256 of every file by its path; links count as what they lead to."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
