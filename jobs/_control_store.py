"""Whether Ray's control store (GCS) still answers.

Where it does not come back, Ray ends the process with exit code 1 and without a word, 60 s after it was lost or as
RAY_gcs_rpc_server_reconnect_timeout_s says; this notices before.
"""

import socket
import time

from pipeline.errors import ClusterLost

PRIVATE_RECONNECT_S = 120
"""Ray's own limit for a control store that we started. Threads of Ray Data that outlive a connection still keep it: it
must be longer than saying so, clearing up and delivering metrics take."""
PRIVATE_LIMIT_S = 3.0
CONNECT_LIMIT_S = 20.0
SHARED_LIMIT_S = 45.0
"""Limit for the control store of a cluster: it may be restarted beside its Redis."""
_INTERVAL_S = 0.5


class ControlStore:
    """The control store at `address` (host:port). limit_s: how long nothing may listen there."""

    def __init__(self, address: str, limit_s: float) -> None:
        host, _, port = address.rpartition(":")
        self.place = (host.strip("[]"), int(port))
        self.limit_s = limit_s
        self.answered = self.asked = time.monotonic()

    def wait(self) -> None:
        """Return when it answers. Raises ClusterLost after the limit."""
        while not self._answers():
            time.sleep(_INTERVAL_S)

    def __call__(self) -> None:
        """Look again, every half second at most. Raises ClusterLost after the limit."""
        if time.monotonic() - self.asked >= _INTERVAL_S:
            self._answers()

    def _answers(self) -> bool:
        self.asked = time.monotonic()
        try:
            socket.create_connection(self.place, timeout=_INTERVAL_S).close()
        except OSError as error:
            if self.asked - self.answered > self.limit_s:
                raise ClusterLost(
                    f"no Ray cluster answers at {self.place[0]}:{self.place[1]}: {error}",
                    code="RAY_LOST",
                    fix="type the same command again: it resumes from the last checkpoint; elsewhere, set RAY_ADDRESS",
                ) from error
            return False
        self.answered = self.asked
        return True
