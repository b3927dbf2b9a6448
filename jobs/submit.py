"""kindred submit: any verb of a recipe, or a study, as a job on a Ray cluster, once however often it is submitted."""

import asyncio
import contextlib
import hashlib
import logging
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import JsonValue

from jobs._console import Console
from jobs._dashboard_address import check_address, is_here
from jobs._job_package import PINS_VARIABLE, pins, write_package
from jobs._mlflow import sqlite_path, tracking_uri
from jobs._ray_token import require_token
from jobs._run_folder import identity_hash
from jobs._submitted import Submitted, submitted
from pipeline.credentials import redact
from pipeline.errors import ConfigError, EnvironmentFault, KindredError, OutputError, SecurityError, kind_of

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

Result = dict[str, JsonValue]
_FINAL = {"SUCCEEDED", "FAILED", "STOPPED"}
_AGENT_S = 60  # a head that has just started refuses jobs until its agent runs
_STOP = "RAY_JOB_STOP_WAIT_TIME_S"  # from SIGTERM to SIGKILL: Ray's 3 s do not suffice for a checkpoint


@dataclass(frozen=True)
class Resources:
    """Of the job's driver: probes and fine-tuning run in it, pretraining's workers ask for their own."""

    cpus: float | None = None
    gpus: float | None = None


@dataclass(frozen=True)
class Job:
    """A command line to run on the cluster. recipe: or a study. environment: its variables, whose values are never
    printed."""

    verb: str
    recipe: Path
    overrides: Sequence[str]
    fork: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    resources: Resources = Resources()
    lock: Path | None = None


def submit(
    job: Job, address: str, *, action: Literal["start", "follow", "status", "stop"] = "start"
) -> dict[str, JsonValue]:
    """Start the job unless it runs or has succeeded; follow, stop or look at it under the same command line.

    Raises ConfigError for a job that could not work there, SecurityError for a cluster without authentication,
    EnvironmentFault for one that does not answer; following a job that fails raises its own exit code.
    """
    check_address(address)
    require_token(address)
    given = _for_cluster(job, address)
    name = _submission_id(job, given)
    with _answering(address) as client:
        started, clock = time.time(), time.monotonic()
        if action == "stop":
            _info(client, name)
            client.stop_job(name)
        elif action != "status":
            _start(client, _tracked(job, given, address), name, given)
        timing = _follow(client, name, clock) if action == "follow" else {}
        found = _info(client, name)
        if action == "follow" and found.start_time:
            timing["driver_s"] = round(max(0.0, found.start_time / 1000 - started), 1)  # by two machines' clocks
    stopping = action == "stop" and found.status.value not in _FINAL
    going = " (it was asked to stop, and leaves a checkpoint)" if stopping else ""
    Console().line(f"{name} at {redact(address)}: {found.status}{going}")
    if action == "follow":
        _raise_failure(found, name)
    return {"status": str(found.status.value).lower(), "submission_id": name, "address": redact(address), **timing}


def _submission_id(job: Job, given: Submitted) -> str:
    """Equal for equal verbs and resolved recipes: the key under which a cluster runs a job once."""
    digest = identity_hash({"verb": job.verb, "recipe": given.document, "fork": job.fork})
    return f"kindred-{job.verb}-{given.name}-{digest[:16]}"


def _for_cluster(job: Job, address: str) -> Submitted:
    """What is submitted, with a run folder that outlives the job. Raises ConfigError where paths mean nothing there."""
    if job.verb == "study" and job.fork is not None:
        raise ConfigError("a study has no forks", code="CONFIG_VALUE", field="--fork", fix="give another out=DIR")
    given = submitted(job.verb, job.recipe, job.overrides)
    relative = {key: path for key, path in given.paths if "://" not in path and not Path(path).is_absolute()}
    several = {key for key in relative if len({path for other, path in given.paths if other == key}) > 1}
    if relative and (several or not is_here(address)):
        raise ConfigError(
            "a relative path would be inside the job's temporary folder on the cluster",
            code="CONFIG_PATH",
            field=", ".join(relative),
            expected="absolute paths on storage that every node sees",
            got=relative,
            fix="give them as overrides, e.g. out=/shared/runs/" + given.name,
        )
    return submitted(
        job.verb, job.recipe, [*job.overrides, *(f"{key}={Path(path).resolve()}" for key, path in relative.items())]
    )


def _tracked(job: Job, given: Submitted, address: str) -> Job:
    """The job with the tracking store of this command: in its own folder a SQLite file would end with it."""
    if given.names_tracking or "MLFLOW_TRACKING_URI" in job.environment:
        return job
    uri = tracking_uri()
    if sqlite_path(uri) is not None and not is_here(address):
        Console().line(
            "warning: no tracking server is named (tracking.uri or MLFLOW_TRACKING_URI), and the cluster is elsewhere: "
            "what the job tracks stays in its run folder, from which `kindred sync` delivers it"
        )
        return job
    return replace(job, environment={"MLFLOW_TRACKING_URI": uri, **job.environment})


def _info(client: "JobSubmissionClient", name: str) -> "JobDetails":
    """Raises OutputError where this very job was never submitted there."""
    found = _found(client, name)
    if found is None:
        raise OutputError(
            "the cluster has no job of this command line",
            code="JOB_UNKNOWN",
            key=name,
            fix="type the command exactly as it was submitted, or without --status to submit it",
        )
    return found


def _found(client: "JobSubmissionClient", name: str) -> "JobDetails | None":
    return next((job for job in client.list_jobs() if job.submission_id == name), None)


@contextlib.contextmanager
def _answering(address: str) -> Iterator["JobSubmissionClient"]:
    """A client of the job server; what it and its transport raise becomes one typed error."""
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    logging.getLogger("ray.dashboard").setLevel(logging.WARNING)
    try:
        yield JobSubmissionClient(address)
    except AuthenticationError as error:
        raise SecurityError(
            "there is no token for the cluster",
            code="RAY_NO_TOKEN",
            field="RAY_AUTH_TOKEN_PATH",
            fix="put the cluster's token into a file that only you can read, and name it in RAY_AUTH_TOKEN_PATH",
        ) from error
    except (ConnectionError, RuntimeError) as error:
        raise EnvironmentFault(
            f"the job server does not answer as it should: {redact(str(error)).strip().splitlines()[-1][:300]}",
            code="RAY_JOBS",
            field="--address",
            got=redact(address),
            fix="give the address of the Ray dashboard, e.g. http://HEAD:8265, and the token of this cluster",
        ) from error


def _start(client: "JobSubmissionClient", job: Job, name: str, given: Submitted) -> None:
    found = _found(client, name)
    if found is not None and str(found.status.value) in {"PENDING", "RUNNING", "SUCCEEDED"}:
        return
    if found is not None:
        client.delete_job(name)
    words = ["python", "-m", "jobs", job.verb, next(iter(given.files)), *given.overrides]
    words += ["--fork", job.fork] if job.fork else []
    with tempfile.TemporaryDirectory(prefix="kindred-job-") as folder:
        write_package(given.files, Path(folder))
        runtime: dict[str, object] = {
            "working_dir": folder,
            "env_vars": {"RAY_AUTH_MODE": "token", _STOP: "30", PINS_VARIABLE: pins(), **job.environment},
        }
        if job.lock is not None:
            runtime["pip"] = [line for line in job.lock.read_text().splitlines() if line and line[0] not in "#-"]
        _submit_once(
            lambda: client.submit_job(
                entrypoint=shlex.join(words),
                submission_id=name,
                runtime_env=runtime,
                metadata={"recipe": hashlib.sha256(job.recipe.read_bytes()).hexdigest()},
                entrypoint_num_cpus=job.resources.cpus,
                entrypoint_num_gpus=job.resources.gpus,
            )
        )


def _submit_once(submit_job: Callable[[], str]) -> None:
    deadline = time.monotonic() + _AGENT_S
    while True:
        try:
            submit_job()
        except RuntimeError as error:
            if "already exists" in str(error):  # somebody else submitted the very same job meanwhile
                return
            if "No available agent" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(1)
        else:
            return


def _follow(client: "JobSubmissionClient", name: str, started: float) -> dict[str, JsonValue]:
    """Print the job's lines until it ends; returns seconds from the submission to its first line and first step."""
    found: dict[str, JsonValue] = {}

    async def show() -> None:
        async for text in client.tail_job_logs(name):
            found.setdefault("first_line_s", round(time.monotonic() - started, 1))
            if any(line.startswith("step ") for line in text.splitlines()):
                found.setdefault("first_step_s", round(time.monotonic() - started, 1))
            sys.stderr.write(text)
            sys.stderr.flush()

    try:
        asyncio.run(show())
    except KeyboardInterrupt:
        Console().line(f"{name} goes on; the same command with --follow shows it again, with --stop it ends")
        raise
    while client.get_job_status(name).value not in _FINAL:
        time.sleep(0.5)
    return found


def _raise_failure(info: "JobDetails", name: str) -> None:
    """Following a failed job ends with the exit code that it had."""
    if str(info.status.value) == "SUCCEEDED":
        return
    kind = kind_of(info.driver_exit_code or 0)
    raise (EnvironmentFault if kind is KindredError else kind)(
        f"the job ended as {str(info.status.value).lower()}",
        code="JOB_ENDED",
        key=name,
        got=(info.message or "").strip().splitlines()[-1:][0][:300] if (info.message or "").strip() else None,
        fix="its last lines say why; the same command resumes it",
    )


def given_environment(pairs: Sequence[str], secrets: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE pairs, and variables of this process by name. Raises ConfigError."""
    found = dict[str, str]()
    for pair in pairs:
        name, given, value = pair.partition("=")
        if not (given and name.isidentifier()):
            raise ConfigError("no variable", code="CONFIG_ENV", field="--env", expected="NAME=VALUE", got=name)
        found[name] = value
    for name in secrets:
        if not name.isidentifier():
            fix = "export the variable here and give its name alone: a value on the command line can be seen by others"
            raise ConfigError("no name of a variable", code="CONFIG_ENV", field="--secret", expected="NAME", fix=fix)
        if name not in os.environ:
            raise ConfigError(
                f"{name} is not set here", code="CONFIG_ENV", field="--secret", fix=f"export {name}, then submit again"
            )
        found[name] = os.environ[name]
    return found
