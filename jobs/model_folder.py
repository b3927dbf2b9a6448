"""A model folder as MLflow reads it: code, tensors and JSON, the packages it needs, an example. Nothing is pickled."""

import os
import shutil
import tempfile
import uuid
import warnings
from pathlib import Path

from jobs._mlflow import CLIENT_ENVIRONMENT
from jobs._versions import installed_version
from jobs.served.bundle import ARTIFACT, Bundle
from jobs.served.code_version import PACKAGES, package_folder
from modalities.request import example_of
from pipeline.errors import EnvironmentFault

CARD = "MODEL_CARD.md"
_ALWAYS = (
    "mlflow", "torch", "numpy", "pydantic", "pyyaml", "safetensors", "tokenizers", "pillow", "simplejpeg",
)  # fmt: skip
_NETWORKS = "transformers"
"""Only image and text encoders are its networks."""


def requirements(bundle: Bundle) -> list[str]:
    """What inference needs, in the versions that made the model."""
    names = [*_ALWAYS, *([_NETWORKS] if any(s.schema_.kind != "sensor" for s in bundle.streams.values()) else [])]
    versions = {name: installed_version(name) for name in names}
    if missing := [name for name, version in versions.items() if version is None]:
        raise EnvironmentFault(
            "packages that the model needs are not installed here",
            code="ENV_VERSIONS",
            expected=missing,
            fix="pip install -r requirements.lock",
        )
    return [f"{name}=={version}" for name, version in versions.items()]


def input_example(bundle: Bundle) -> list[dict[str, object]]:
    """A request that shows the form of every stream and is nobody's data."""
    return [{name: example_of(known.schema_, known.statistics) for name, known in bundle.asked.items()}]


def save_model(source: Path, target: Path, bundle: Bundle, *, card: str, digest: str) -> None:
    """Write the folder whole or not at all. source: folder of the bundle."""
    for name, value in CLIENT_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("MLFLOW_SKIP_PIP_REQUIREMENTS_CHECK", "true")  # it would ask a package index
    import mlflow.pyfunc

    with tempfile.TemporaryDirectory(prefix="kindred-code-") as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*inferred as AnyType")  # our own refusals name sample and stream
        part = target.with_name(f".{target.name}-{uuid.uuid4().hex}")
        try:
            mlflow.pyfunc.save_model(
                part,
                python_model=str(package_folder("jobs/served") / "pyfunc_model.py"),
                artifacts={ARTIFACT: str(source)},
                code_paths=_code(Path(temporary)),
                input_example=input_example(bundle),
                pip_requirements=requirements(bundle),
                metadata={"kindred.digest": digest, "kindred.code_sha256": bundle.code_sha256},
            )
            (part / CARD).write_text(card, encoding="utf-8")
            part.rename(target)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _code(folder: Path) -> list[str]:
    """Copies of the packages that travel, as the roots that MLflow puts side by side."""
    ignore = shutil.ignore_patterns("__pycache__")
    for name in PACKAGES:
        shutil.copytree(package_folder(name), folder / name, ignore=ignore)
    (folder / "jobs" / "__init__.py").write_text('"""The part of Kindred that serves models."""\n', encoding="utf-8")
    return [str(folder / name) for name in sorted({Path(name).parts[0] for name in PACKAGES})]
