"""The class that MLflow serves. MLflow copies this file into the model and runs it there; nothing is pickled."""

from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from jobs.served.bundle import ARTIFACT, load_model
from pipeline.errors import DataError, KindredError


class RefusedRequest(MlflowException):
    """A typed error with an HTTP status: 400 for bad data, else 500. Its message stays as it is made."""

    def __init__(self, error: KindredError) -> None:
        code = INVALID_PARAMETER_VALUE if isinstance(error, DataError) else INTERNAL_ERROR
        super().__init__(str(error), error_code=code, error=error.record())

    def __setattr__(self, name: str, value: object) -> None:
        if name != "message" or "message" not in self.__dict__:  # the server would put the whole request in front
            super().__setattr__(name, value)


class KindredModel(PythonModel):
    """Samples -> embeddings, and class probabilities where the model has a head."""

    def load_context(self, context: PythonModelContext) -> None:
        self.model = load_model(Path(context.artifacts[ARTIFACT]))

    def predict(  # pyright: ignore[reportIncompatibleMethodOverride] - the base class returns nothing
        self,
        context: PythonModelContext,
        model_input: list[dict[str, Any]],
        params: dict[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """One answer for each sample. Raises RefusedRequest."""
        try:
            return self.model(model_input)
        except KindredError as error:
            raise RefusedRequest(error) from None


set_model(KindredModel())
