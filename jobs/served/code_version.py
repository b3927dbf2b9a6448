"""Which code a model needs: the sources that travel with it, and their hash."""

import hashlib
from pathlib import Path

import jobs.served
import modalities
import pipeline
from pipeline.errors import CheckpointError

PACKAGES = {"modalities": modalities, "pipeline": pipeline, "jobs/served": jobs.served}
"""Folder below the code's root -> package. `jobs` itself is only the namespace that `jobs.served` lies in."""


def package_folder(name: str) -> Path:
    """Where the package lies that this process imports."""
    return Path(str(PACKAGES[name].__file__)).parent


def code_sha256() -> str:
    """Hash of the names and bytes of every source file of the packages that this process imports."""
    digest = hashlib.sha256()
    for name in PACKAGES:
        folder = package_folder(name)
        for path in sorted(folder.rglob("*.py")):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{name}/{path.relative_to(folder).as_posix()} {content}\n".encode())
    return digest.hexdigest()


def refuse_other_code(expected: str) -> None:
    """Raises CheckpointError where this process has imported another version of the code than a model's."""
    if (got := code_sha256()) != expected:
        raise CheckpointError(
            "the model was exported by another version of the code than this process has imported",
            code="MODEL_CODE_VERSION",
            field="code_sha256",
            expected=expected,
            got=got,
            fix="load it in a process of its own (mlflow models serve), which takes the code that travels with it",
        )
