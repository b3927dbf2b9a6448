"""Configuration of experiment tracking."""

from modalities.spec import Config


class TrackingConfig(Config):
    """MLflow."""

    experiment: str | None = None
    """MLflow experiment; None means the recipe's name."""
    uri: str | None = None
    """Tracking URI; None means MLFLOW_TRACKING_URI or a SQLite file in the working folder."""
    required: bool = False
    """Fail the command when something could not be delivered; otherwise that is a warning and `kindred sync` helps."""
