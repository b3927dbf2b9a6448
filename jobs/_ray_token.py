"""The token without which nobody may use a Ray cluster, and where a private Ray keeps its own."""

import logging
import os
import secrets
import stat
from pathlib import Path

from pipeline.errors import EnvironmentFault, SecurityError

_log = logging.getLogger(__name__)


def require_token(address: str) -> None:
    """Raises SecurityError where the cluster at `address` would be used without authentication."""
    if os.environ.get("RAY_AUTH_MODE") != "token":
        raise SecurityError(
            f"the Ray cluster at {address} would be used without authentication",
            code="RAY_NO_AUTH",
            field="RAY_AUTH_MODE",
            fix="start the cluster with RAY_AUTH_MODE=token and set RAY_AUTH_MODE=token here too",
        )


def private_token() -> None:
    """Create Ray's token file readable by its owner only, before Ray would create it readable by all."""
    if os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return
    try:
        _create_token(Path.home() / ".ray" / "auth_token")
    except (OSError, RuntimeError) as error:  # a home that cannot be written, or none at all
        raise EnvironmentFault(
            f"no place for Ray's token in the home folder: {error}",
            code="ENV_HOME",
            field="HOME",
            got=os.environ.get("HOME"),
            fix="set HOME to a folder that can be written, or RAY_AUTH_TOKEN_PATH to a token file of yours (mode 600)",
        ) from error


def _create_token(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            path.chmod(0o600)
            _log.warning("%s was readable by others; it is 0600 now", path)
        return
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_hex(32))
