"""The classifier that a finished fine-tuning left behind."""

from collections.abc import Mapping

from torch import Tensor

from jobs._run_folder import RunFolder
from jobs.served.bundle import BundledHead
from pipeline.errors import CheckpointError
from pipeline.evaluate.best_epoch import BEST
from pipeline.train.checkpoint import state_hash
from pipeline.train.checkpoint_store import CheckpointStore


def classifier_hash(tensors: Mapping[str, Tensor]) -> str:
    """Hash of the weights that were scored, which fine-tuning writes into its result."""
    return state_hash([("model", tensors)], None)


def tuned_classifier(folder: RunFolder, percent: float | None) -> tuple[BundledHead, dict[str, Tensor]] | None:
    """Head and tensors of the label fraction `percent`, or of the largest one; None where nothing was fine-tuned.

    Raises CheckpointError for a fraction that there is not, and where the weights are not those that were scored.
    """
    result = folder.result("finetune")
    trained = (result or {}).get("weights")
    if result is None or not isinstance(trained, dict):
        if percent is None:
            return None
        raise _missing(folder, percent, [])
    chosen = max(trained, key=float) if percent is None else f"{percent:g}"
    if chosen not in trained:
        raise _missing(folder, percent, sorted(trained, key=float))
    store = CheckpointStore(folder.path / "finetune" / f"finetune-{chosen}" / "checkpoints")
    checkpoint, weights = store.newest(), trained[chosen]
    known = weights if isinstance(weights, dict) else {}
    tensors = {} if checkpoint is None else dict(checkpoint.part(BEST if BEST in checkpoint.files else "model"))
    if (got := classifier_hash(tensors)) != (expected := known.get("trained")):
        raise CheckpointError(
            f"{store.folder} does not hold the weights that were scored",
            code="CKPT_DAMAGED",
            expected=expected,
            got=got,
            fix="restore it, or delete finetune/result.json and type the finetune command again",
        )
    head = {key: result[key] for key in ("label", "classes", "streams", "trained_with") if key in result}
    head |= {"percent": float(chosen), "temperature": known.get("temperature")}
    return BundledHead.model_validate(head), tensors


def _missing(folder: RunFolder, percent: float | None, known: list[str]) -> CheckpointError:
    return CheckpointError(
        f"{folder.path} holds no such fine-tuning",
        code="CKPT_MISSING",
        field="percent",
        expected=known,
        got=percent,
        fix="run `kindred finetune` with it, or name one that there is",
    )
