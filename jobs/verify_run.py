"""kindred verify RUN: what a run was trained on, against the plan that its recipe and manifest give."""

from pathlib import Path

from pydantic import JsonValue

from jobs._console import Console
from jobs._run_folder import RunFolder, differences, identity_hash, read_json
from jobs.assemble import pretrain_identity, source_of
from jobs.configs import Recipe
from jobs.order import pretraining_order
from jobs.pretrained import recorded_recipe
from pipeline.data.index import load_index
from pipeline.data.ledger import LEDGER_NAME, read_header, read_records
from pipeline.data.ledger_check import Committed, LedgerReport, check_ledger
from pipeline.data.manifest import load_manifest
from pipeline.data.plan import Order
from pipeline.errors import DataError, OutputError, Problems
from pipeline.train.checkpoint_store import CheckpointStore


def is_run(folder: Path) -> bool:
    """True for a folder in which a pretraining was started."""
    return (folder / "pretrain").is_dir()


def verify_run(folder: Path) -> dict[str, JsonValue]:
    """Prove that pretraining saw what it had to, in the planned order; for a plain shuffle each sample once per epoch.

    Raises Problems naming epoch, step and sample of what is wrong.
    """
    recipe = _recipe(folder)
    sources = [source_of(recipe, place) for place in recipe.places()]
    manifests = [load_manifest(source.folder) for source in sources]
    identity = pretrain_identity(recipe, manifests)
    indexes = [load_index(s.folder, manifest) for s, manifest in zip(sources, manifests, strict=True)]
    order = pretraining_order(recipe, indexes, manifests[0].labels)
    report = _check(folder, identity, order, batch_size=recipe.pretrain.batch_size)
    if report.errors:
        counts = f"missing {report.missing}, repeated {report.repeated}, out of order {report.out_of_order}"
        Console().line(f"{folder}: {report.steps} steps, {report.samples} samples: {counts}")
        raise Problems(list(report.errors))
    Console().line(
        f"{folder}: {report.samples} samples in {report.steps} steps are the planned ones; "
        f"{report.epochs} whole epochs, {report.missing} missing, {report.repeated} repeated, "
        f"{report.left_over} left out with last partial batches"
    )
    return {
        "status": "finished",
        "manifest": manifests[0].sha256,
        "ledger_sha256": report.sha256,
        "steps": report.steps,
        "samples": report.samples,
        "epochs": report.epochs,
        "missing": report.missing,
        "repeated": report.repeated,
        "out_of_order": report.out_of_order,
        "left_over": report.left_over,
    }


def _ledger(folder: Path) -> Path:
    return folder / "pretrain" / LEDGER_NAME


def _recipe(folder: Path) -> Recipe:
    recipe = recorded_recipe(folder)
    if not _ledger(folder).is_file():
        raise DataError(f"{_ledger(folder)} is missing", code="LEDGER_MISSING", fix="restore the run folder")
    return recipe


def _check(folder: Path, identity: dict[str, JsonValue], order: Order, *, batch_size: int) -> LedgerReport:
    with _ledger(folder).open("rb") as file:
        header = read_header(file)
        if (header.samples, header.identity.hex()) != (batch_size, identity_hash(identity)):
            raise _other_run(folder, identity)
        return check_ledger(read_records(file, header), order, _committed(folder))


def _committed(folder: Path) -> Committed:
    """From the result of a finished run, else from its newest checkpoint, else nothing."""
    result = RunFolder(folder).result("pretrain")
    if result is not None:
        try:
            return Committed(int(str(result["steps"])), str(result["ledger_sha256"]))
        except (KeyError, ValueError) as error:
            raise OutputError(
                f"{folder / 'pretrain' / 'result.json'} is damaged", code="OUT_DAMAGED", fix="restore the run folder"
            ) from error
    checkpoint = CheckpointStore(folder / "pretrain" / "checkpoints").newest()
    state = checkpoint.state.get("ledger") if checkpoint else None
    return Committed(int(str(state["records"])), str(state["sha256"])) if isinstance(state, dict) else Committed(0, "")


def _other_run(folder: Path, identity: dict[str, JsonValue]) -> DataError:
    claimed = read_json(folder / "pretrain" / "identity.json") or {}
    changed = differences(claimed, identity)
    return DataError(
        f"the ledger is of another run than recipe and data set: {'; '.join(changed[:8]) or 'the ledger was replaced'}",
        code="LEDGER_IDENTITY",
        field=changed[0].split(":")[0] if changed else LEDGER_NAME,
        fix="restore recipe.json, the data set and the ledger of this run",
    )
