"""Installed versions, and the lowest ones without a known hole that data, browsers or networks could use against us.

Read from package metadata: nothing is imported. Python has no row: its holes lie in `tarfile` (CVE-2025-8194: endless
loop, CVE-2025-4517: extraction outside the folder), which nothing here uses (the lint bans it), and distributions mend
them without a new version number, so that a number proves nothing.
"""

import importlib.metadata
from collections.abc import Callable, Mapping

from packaging.version import InvalidVersion, Version

from pipeline.errors import EnvironmentFault

SAFE_FROM: Mapping[str, tuple[str, str]] = {
    "ray": ("2.56", "CVE-2026-57516: pickles in shards ran"),
    "mlflow": ("3.17.0", "CVE-2026-116690: the server gave any file to anybody"),
    "torch": ("2.10", "CVE-2026-24747: weights ran code"),
    "pillow": ("12.3", "CVE-2026-55379: damaged images overran memory"),
}
"""Package -> lowest safe version and the worst of what is mended there; a newer row replaces an older one."""


def installed_version(name: str) -> str | None:
    """Without a local part: +cpu and +cu130 are builds of one version. None where it is not installed."""
    try:
        return importlib.metadata.version(name).partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return None


def refuse_unsafe(version: Callable[[str], str | None] = installed_version) -> None:
    """Raises EnvironmentFault that names every package of `SAFE_FROM` that is missing or older than is safe."""
    got = {name: version(name) for name in SAFE_FROM}
    unsafe = [name for name, (lowest, _) in SAFE_FROM.items() if not _reaches(got[name], lowest)]
    if unsafe:
        wanted = " ".join(f"'{name}>={SAFE_FROM[name][0]}'" for name in unsafe)
        raise EnvironmentFault(
            f"packages with known holes: {'; '.join(f'{name} {got[name]} ({SAFE_FROM[name][1]})' for name in unsafe)}",
            code="ENV_UNSAFE_VERSIONS",
            expected={name: f">={SAFE_FROM[name][0]}" for name in unsafe},
            got={name: got[name] for name in unsafe},
            fix=f"pip install -r requirements.lock, or pip install {wanted}",
        )


def _reaches(version: str | None, lowest: str) -> bool:
    try:
        return version is not None and Version(version) >= Version(lowest)
    except InvalidVersion:
        return False
