"""python -m jobs._study_trial REQUEST: one run of a study, in a process of its own with a main thread for signals.

It ends, with a checkpoint, when its standard input does, where Ray did not kill it before: whoever started it may be
killed at any time. Standard output holds the answer as JSON: {} or an error with its exit code.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from jobs._own_process import python_environment
from jobs._run_folder import RunFolder
from jobs._signals import stopped_by_sigterm
from jobs._standard_streams import expendable_stderr
from pipeline.errors import KindredError

LOG_NAME = "study.log"
ENDS_WITHIN_S = 60.0
"""How long a trial of an earlier command, which may have ended before it, may take to write its checkpoint."""
Answer = dict[str, object]


@dataclass(frozen=True)
class Trial:
    """One run. folder: its run folder, absolute; workplace: where relative paths start."""

    recipe: str
    overrides: Sequence[str]
    stages: Sequence[str]
    tags: dict[str, str]
    folder: str
    workplace: str


def failure(error: KindredError) -> Answer:
    """What is kept of an error."""
    return {"exit_code": error.exit_code, "error": error.record()}


def run_trial(trial: Trial) -> Answer:
    """Run it in a process of its own; what it prints goes to a file in its run folder."""
    folder = Path(trial.folder)
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "jobs._study_trial", json.dumps(asdict(trial))]
    with (folder / LOG_NAME).open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=trial.workplace,
            env=python_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,  # the terminal's Ctrl-C is for the study
        )
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        said = process.stdout.read()
        code_left = process.wait()
    if code_left == 0:
        return json.loads(said)
    error = {"code": "STUDY_TRIAL", "message": f"its process ended with {code_left}", "fix": f"see {folder / LOG_NAME}"}
    return {"exit_code": KindredError.exit_code, "error": error}


def _end_with_parent() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


def _answer(trial: Trial) -> Answer:
    from jobs.run import run_recipe

    try:
        with stopped_by_sigterm():
            RunFolder(Path(trial.folder)).await_holder(ENDS_WITHIN_S)
            run_recipe(Path(trial.recipe), trial.overrides, fork=None, stages=trial.stages, tags=trial.tags)
    except KindredError as error:
        return failure(error)
    return {}


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with expendable_stderr():
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
        sys.stdout.write(json.dumps(_answer(Trial(**json.loads(sys.argv[1]))), default=str))
