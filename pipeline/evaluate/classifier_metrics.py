"""How good a classifier is, and how far its probabilities can be trusted."""

from torch import Tensor
from torch.nn import functional
from torchmetrics.functional.classification import multiclass_calibration_error

from pipeline.evaluate.scores import score
from pipeline.evaluate.temperature import probabilities

BINS = 15
"""Of the expected calibration error, as arXiv 1706.04599 has it."""


def classifier_metrics(logits: Tensor, y: Tensor, *, temperature: float | None) -> dict[str, float]:
    """Scores of the classes that logits (N, K) predict, and the calibration of their probabilities.

    `nll` and `ece` are of softmax(logits), `nll_calibrated` and `ece_calibrated` of softmax(logits / temperature).
    """
    found = score(logits.argmax(dim=1).numpy(), y.numpy(), num_classes=logits.shape[1])
    metrics = {
        "accuracy": found.accuracy,
        "balanced_accuracy": found.balanced_accuracy,
        "f1_macro": found.f1_macro,
        "recall_min": found.recall_min,
        "recall_p10": found.recall_p10,
        **_calibration(logits, y),
    }
    if temperature is not None:
        calibrated = _calibration(logits / temperature, y)
        metrics |= {"temperature": temperature, **{f"{name}_calibrated": value for name, value in calibrated.items()}}
    return metrics


def _calibration(logits: Tensor, y: Tensor) -> dict[str, float]:
    """Negative log-likelihood and expected calibration error (l1). torchmetrics is given probabilities: what lies in
    [0, 1] it takes as they are, but logits that happen to lie there it would too."""
    logits = logits.double()
    error = multiclass_calibration_error(probabilities(logits, None), y, logits.shape[1], n_bins=BINS, norm="l1")
    return {"nll": float(functional.cross_entropy(logits, y)), "ece": float(error)}
