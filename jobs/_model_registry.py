"""The MLflow model registry: a model folder becomes a version of a registered model, under an alias."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from jobs._mlflow import MlflowStore

_DIGEST = "kindred.digest"


class ModelRegistry(MlflowStore):
    """Registers models in the tracking store at `uri`. Raises TrackingError where the store does not answer."""

    def register(self, folder: Path, *, name: str, alias: str, digest: str, run_id: str | None) -> str:
        """Upload a model folder and point the alias at it; returns the version. A digest is uploaded once."""
        version = self._known(name, digest) or self._upload(folder, name, digest, run_id)
        self._ask(self._client.set_registered_model_alias, name, alias, version)
        return version

    def _known(self, name: str, digest: str) -> str | None:
        """The version with this digest. Makes the registered model where there is none."""
        if not self._ask(self._client.search_registered_models, f"name = '{name}'"):
            self._ask(self._client.create_registered_model, name)
        versions = self._ask(self._client.search_model_versions, f"name = '{name}'")
        return next((str(v.version) for v in versions if v.tags.get(_DIGEST) == digest and v.status == "READY"), None)

    def _upload(self, folder: Path, name: str, digest: str, run_id: str | None) -> str:
        experiment = (self.experiment_of(run_id) if run_id else None) or self.experiment(name)
        made = self._ask(
            self._client.create_logged_model, experiment, name=name, source_run_id=run_id, tags={_DIGEST: digest}
        )
        with self._typed():  # takes its time as long as bytes move
            self._client.log_model_artifacts(made.model_id, str(folder))
        self._ask(self._client.finalize_logged_model, made.model_id, "READY")
        with _default_store(self.uri):
            version = self._ask(
                self._client.create_model_version,
                name,
                f"models:/{made.model_id}",
                run_id,
                tags={_DIGEST: digest},
                description="What it is, learned from and cannot do: MODEL_CARD.md in its folder.",
                model_id=made.model_id,
            )
        return str(version.version)


@contextlib.contextmanager
def _default_store(uri: str) -> Iterator[None]:
    """MLflow looks the model up in the store of the environment, not in the one that it is asked to register it in."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    os.environ["MLFLOW_TRACKING_URI"] = uri
    try:
        yield
    finally:
        del os.environ["MLFLOW_TRACKING_URI"]
        if before is not None:
            os.environ["MLFLOW_TRACKING_URI"] = before
