"""kindred sync RUN_DIR: make MLflow hold what the run folder holds."""

from pathlib import Path

from pydantic import JsonValue

from jobs._delivery import Delivery, mark_killed, sole_sender, tracking_folder
from jobs._mlflow import tracking_uri
from jobs._run_folder import RunFolder, read_json
from jobs._tracking import renew_header
from pipeline.credentials import redact
from pipeline.errors import OutputError


def sync(run_folder: Path, uri: str | None = None, *, new_run: bool = False) -> dict[str, JsonValue]:
    """Send every record again; what MLflow already has stays as it is. Stages whose process died become KILLED.

    `new_run` leaves the runs so far as they are, deleted perhaps, and sends to new ones that name them as their parent.
    Goes to `uri`, else MLFLOW_TRACKING_URI, else where the run went. Raises TrackingError where the store does not
    answer, OutputError where the folder is no run, or is still running.
    """
    header = read_json(tracking_folder(run_folder) / "run.json")
    if header is None or "uri" not in header:
        raise OutputError(f"{run_folder} is not a tracked run folder", code="OUT_NO_RUN", field="tracking/run.json")
    where = tracking_uri(uri, default=str(header["uri"]))
    with RunFolder(run_folder).locked(), sole_sender(run_folder):
        if new_run:
            renew_header(run_folder)
        delivery = Delivery(run_folder, where)
        mark_killed(run_folder)
        delivery.rewind()
        sent = delivery.deliver()
    runs: dict[str, JsonValue] = dict(delivery.run_ids())
    return {"status": "delivered", "points": sent, "tracking_uri": redact(where), "mlflow_runs": runs}
