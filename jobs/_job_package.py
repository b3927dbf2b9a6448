"""What a submitted job takes to the cluster: our code, the files it reads, and the versions it was tried with."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from jobs._versions import installed_version
from pipeline.errors import EnvironmentFault

PINS_VARIABLE = "KINDRED_PINS"
_PACKAGES = ("modalities", "pipeline", "jobs")
_DECIDING = ("torch", "numpy", "scipy", "kornia", "transformers", "tokenizers", "simplejpeg", "pillow", "ray", "mlflow")


def write_package(files: Mapping[str, Path], folder: Path) -> None:
    """The working folder of the job: `python -m jobs VERB FILE` runs in it. files: of this machine, by name there."""
    root = Path(__file__).parents[1]
    for name in _PACKAGES:
        shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name, file in files.items():
        shutil.copyfile(file, folder / name)


def pins() -> str:
    """Versions here of the libraries that decide results, for `check_pins` there."""
    return json.dumps({name: installed_version(name) for name in _DECIDING}, sort_keys=True)


def check_pins(environment: Mapping[str, str] = os.environ) -> None:
    """Raises EnvironmentFault where a job runs with other versions than those it was submitted with."""
    expected = json.loads(environment.get(PINS_VARIABLE, "{}"))
    got = {name: installed_version(name) for name in expected}
    if different := sorted(name for name in expected if expected[name] != got[name]):
        raise EnvironmentFault(
            "the cluster has other versions than the machine that submitted the job",
            code="ENV_VERSIONS",
            expected={name: expected[name] for name in different},
            got={name: got[name] for name in different},
            fix="install requirements.lock in the cluster's image, or submit with --pip requirements.lock",
        )
