"""Threads that the machine does not give."""

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import EnvironmentFault

_CGROUP_LIMITS = (Path("/sys/fs/cgroup/pids.max"), Path("/sys/fs/cgroup/pids/pids.max"))


@contextlib.contextmanager
def starting_threads() -> Iterator[None]:
    """Around the start of a thread: Python's bare RuntimeError for one that cannot start becomes an EnvironmentFault
    that names the limits."""
    try:
        yield
    except RuntimeError as error:
        if "can't start new thread" not in str(error):
            raise
        message = f"this machine gives no further thread to read shards with: {', '.join(_limits())}"
        fix = "end other processes, or raise the limit (ulimit -u, or pids.max of the container)"
        raise EnvironmentFault(message, code="ENV_THREADS", fix=fix) from error


def _limits() -> list[str]:
    """What bounds the threads of a user and of a container."""
    processes, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    found = ["ulimit -u is " + ("unlimited" if processes == resource.RLIM_INFINITY else str(processes))]
    for path in _CGROUP_LIMITS:
        with contextlib.suppress(OSError):
            found.append(f"{path} is {path.read_text(encoding='utf-8').strip()}")
    return found
