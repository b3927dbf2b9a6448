"""`kindred pretrain` in Linux namespaces of its own, where mounts and networks can be broken without root."""

import subprocess
from pathlib import Path

from tests.e2e.conftest import command, environment

SHORT = ["pretrain.epochs=2", "objectives=[{kind: cross, projection: {hidden: 16, dim: 8}}]", "memory={}"]
MOUNTS, NETWORK = "-rm", "-rn"
"""Options of unshare."""


def permitted(kind: str) -> bool:
    return not subprocess.run(["unshare", kind, "true"], capture_output=True, check=False).returncode


def pretrain_after(
    shell: str, *arguments: str, kind: str, folder: Path, timeout: float
) -> subprocess.CompletedProcess[str]:
    """Train after a line of shell, both in namespaces of `kind`. timeout: seconds."""
    given = ["unshare", kind, "sh", "-c", f'{shell} && exec "$@"', "sh", *command("pretrain", *arguments)]
    return subprocess.run(
        given, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False, timeout=timeout
    )
