"""Where a run comes from: commit, versions, machine. Goes into tracking and into the report."""

import getpass
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

PACKAGES = ("torch", "ray", "webdataset", "tsaug", "torchmetrics", "mlflow", "numpy")


FOLDER_TAG = "kindred.run_folder"


def provenance() -> dict[str, str]:
    """Tags by MLflow's names where it has one."""
    commit, changed = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--untracked-files=no")
    known = {"mlflow.source.git.commit": commit, "mlflow.source.git.branch": _git("rev-parse", "--abbrev-ref", "HEAD")}
    return {
        **{name: value for name, value in known.items() if value},
        **({"kindred.git_dirty": str(bool(changed)).lower()} if changed is not None else {}),
        "mlflow.source.name": "kindred",
        "mlflow.source.type": "LOCAL",
        "mlflow.user": _user(),
        "system.python": platform.python_version(),
        "system.platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "system.cpu_count": str(os.cpu_count()),
        **{f"version.{name}": metadata.version(name) for name in PACKAGES if _installed(name)},
    }


def _installed(name: str) -> bool:
    return any(True for _ in metadata.distributions(name=name))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container user without a name
        return str(os.getuid())


def _git(*arguments: str) -> str | None:
    """Output of a git command on this code; None where it is not a checkout or there is no git."""
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
