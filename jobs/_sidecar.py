"""python -m jobs._sidecar RUN_DIR: delivers the run's spools while its driver lives, then once more, and ends.

A process of its own: importing mlflow, migrating a database or waiting for a dead server never costs training a step.
It ends by the end of its standard input, so that it notices the death of its driver however that happened.
"""

import logging
import os
import select
import sys
import time
from pathlib import Path

from jobs._delivery import Delivery, mark_killed, sole_sender
from jobs._mlflow import tracking_uri
from pipeline.errors import KindredError, TrackingError

POLL_S, LONGEST_WAIT_S, LAST_TRIES = 2.0, 60.0, 2
_log = logging.getLogger(__name__)


def main(run_folder: Path) -> int:
    """0 when everything is delivered, else the exit code of the error that prevented it."""
    os.nice(10)  # training comes first
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        with sole_sender(run_folder, wait=True):  # a killed driver's sidecar may still be sending
            _follow(Delivery(run_folder, tracking_uri()))
            mark_killed(run_folder)
            return _last_delivery(Delivery(run_folder, tracking_uri()))  # anew, which finds runs that were made late
    except KindredError as error:
        _log.warning("%s", error)
        return error.exit_code


def _follow(delivery: Delivery) -> None:
    wait = 0.0
    while not select.select([sys.stdin], [], [], wait)[0]:
        try:
            delivery.deliver()
            wait = POLL_S
        except TrackingError as error:
            _log.warning("%s", error)
            wait = min(max(wait, POLL_S) * 2, LONGEST_WAIT_S)


def _last_delivery(delivery: Delivery) -> int:
    for attempt in range(LAST_TRIES):
        try:
            delivery.deliver()
        except TrackingError as error:
            _log.warning("%s", error)
            time.sleep(attempt + 1 < LAST_TRIES)
        else:
            return 0
    return TrackingError.exit_code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
