"""Waiting for what another process does."""

import time
from collections.abc import Callable


def wait_for(ready: Callable[[], bool], *, seconds: float = 60) -> None:
    """Poll until ready. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)
