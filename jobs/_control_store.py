"""Whether Ray's control store (GCS) still answers.

Where it does not come back, Ray ends the process with exit code 1 and without a word, 60 s after it was lost or as
RAY_gcs_rpc_server_reconnect_timeout_s says; this notices before.
"""

import socket
import time

from pipeline.errors import ClusterLost

PRIVATE_RECONNECT_S = 15
"""Ray's own limit for a control store that we started: nobody restarts it."""
PRIVATE_LIMIT_S = 3.0
SHARED_LIMIT_S = 45.0
"""Limit for the control store of a cluster: it may be restarted beside its Redis."""
_INTERVAL_S = 0.5


class ControlStore:
    """The control store at `address` (host:port). Call it often: it connects every half second at most."""

    def __init__(self, address: str, limit_s: float) -> None:
        host, _, port = address.rpartition(":")
        self.place = (host.strip("[]"), int(port))
        self.limit_s = limit_s
        self.answered = self.asked = time.monotonic()

    def __call__(self) -> None:
        """Raises ClusterLost when nothing has listened there for the limit."""
        now = time.monotonic()
        if now - self.asked < _INTERVAL_S:
            return
        self.asked = now
        try:
            socket.create_connection(self.place, timeout=_INTERVAL_S).close()
        except OSError as error:
            if now - self.answered > self.limit_s:
                raise ClusterLost(
                    f"Ray's control store at {self.place[0]}:{self.place[1]} is gone: {error}",
                    code="RAY_LOST",
                    fix="type the same command again: it resumes from the last checkpoint",
                ) from error
        else:
            self.answered = now
