"""Attaching to a shared Ray, or starting a private one on this machine."""

import contextlib
import logging
import os
import threading
from pathlib import Path

from jobs._control_store import CONNECT_LIMIT_S, ControlStore
from jobs._left_behind import nothing_of_a_failed_start
from jobs._time_limit import time_limit
from pipeline.errors import ClusterLost, EnvironmentFault

OBJECT_STORE_BYTES = 128 << 20  # nothing large passes through it: shards are read by the workers themselves

START_LIMIT_S = 180.0
"""For the daemons of a private Ray: each of Ray's own waits has a limit, but not all of them together."""

# Off, a private Ray has the address 127.0.0.1. Else its metrics answer the whole network without a token.
LOOPBACK_ONLY = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"

_SOCKET_NAME_BYTES = 107  # Linux: sun_path, but for its last zero
_SOCKET = "/ray/session_2026-01-01_00-00-00_000000_{pid}/sockets/plasma_store"  # Ray has no longer one

# Training runs in a side thread of a Ray worker. glibc gives such threads arenas that return every large tensor to the
# kernel and fetch it again: a twentieth of the time of a small model is page faults.
ALLOCATOR_ENVIRONMENT = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(512 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(512 << 20),
}


def connect(cpus: int) -> Path | None:
    """Attach to RAY_ADDRESS, or start a private Ray on this machine and return its session's folder.

    cpus: of a private one. Ray sets no signal handlers, neither Python's nor C's, whose first act is a dump of stacks.
    """
    import ray
    from ray._common.utils import get_default_ray_temp_dir
    from ray._private import auto_init_hook, ray_constants, utils
    from ray._raylet import Config  # pyright: ignore

    address = os.environ.get("RAY_ADDRESS")
    # Ray reads the environment when it is imported, which may have been before we set it.
    Config.initialize("")
    auto_init_hook.enable_auto_connect = False  # a thread that outlives a lost Ray would start another
    ray_constants.RAY_DISABLE_FAILURE_SIGNAL_HANDLER = True  # in this process; its workers keep theirs
    utils.set_sigterm_handler = _set_no_handler
    ray_constants.ENABLE_RAY_CLUSTER = bool(address) or os.environ[LOOPBACK_ONLY] != "0"
    if address:
        if ":" in address:  # Ray itself waits for minutes, and takes no signal meanwhile
            ControlStore(address.removeprefix("ray://"), CONNECT_LIMIT_S).wait()
        environment: dict[str, object] = {"env_vars": ALLOCATOR_ENVIRONMENT}
        ray.init(address=address, runtime_env=environment, log_to_driver=False, logging_level=logging.WARNING)
        return None
    _require_short_names()
    in_main = threading.current_thread() is threading.main_thread()
    limit = time_limit(START_LIMIT_S) if in_main else contextlib.nullcontext()
    try:
        with nothing_of_a_failed_start(Path(get_default_ray_temp_dir())), limit:
            context = ray.init(
                address="local",
                num_cpus=cpus,
                object_store_memory=OBJECT_STORE_BYTES,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.WARNING,
            )
    except Exception as error:
        if not _is_of_a_start(error):
            raise
        raise ClusterLost(
            f"Ray did not start on this machine: {(str(error) or type(error).__name__).strip().splitlines()[0][:400]}",
            code="RAY_START",
            fix="see Ray's logs; on a busy machine type the same command again",
        ) from error
    return Path(context.address_info["session_dir"])  # pyright: ignore


def _require_short_names() -> None:
    """Raises EnvironmentFault where the kernel has no room for the names of a private Ray's sockets."""
    from ray._common.utils import get_default_system_temp_dir

    folder = os.fsencode(get_default_system_temp_dir())
    longest = _SOCKET_NAME_BYTES - len(_SOCKET.format(pid=os.getpid()))
    if len(folder) > longest:
        name = "RAY_TMPDIR" if "RAY_TMPDIR" in os.environ else "TMPDIR"
        raise EnvironmentFault(
            f"{name} is too long: Ray's sockets are below it, and their names may have {_SOCKET_NAME_BYTES} bytes",
            code="ENV_TMPDIR",
            field=name,
            expected=f"<= {longest} bytes",
            got=f"{len(folder)} bytes",
            fix=f"set a shorter {name}, e.g. {name}=/tmp",
        )


def _is_of_a_start(error: Exception) -> bool:
    """Whether Ray raises this where its daemons do not come up: for one that is late for 30 s it has nothing narrower
    than Exception itself, so that no except clause can tell it from errors of ours and from faults of a program."""
    from ray.exceptions import RayError

    return type(error) is Exception or isinstance(error, OSError | RuntimeError | RayError)


def _set_no_handler(_handler: object) -> None:
    """In the place of what ray.init ends the process by, without a word, from its start on."""
