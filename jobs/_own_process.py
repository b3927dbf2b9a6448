"""The environment of a Python process that runs our own code, wherever it starts."""

import os
from pathlib import Path

import jobs


def python_environment() -> dict[str, str]:
    """That of this process, with this code first on the path."""
    code = str(Path(jobs.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [code, os.environ.get("PYTHONPATH")]))}
