import math

import pytest
import torch

from pipeline.evaluate.classifier_metrics import classifier_metrics


def test_calibration_is_what_a_loop_over_bins_finds() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.rand(500, 4, generator=generator)  # in [0, 1]: these must not be taken for probabilities
    y = torch.multinomial((5 * logits).softmax(dim=1), 1, generator=generator)[:, 0]

    found = classifier_metrics(logits, y, temperature=0.2)

    for scale, suffix in ((1.0, ""), (5.0, "_calibrated")):
        bins: dict[int, list[tuple[float, bool]]] = {}
        total = 0.0
        for row, label in zip(logits.tolist(), y.tolist(), strict=True):
            shares = [math.exp(scale * f) for f in row]
            shares = [share / sum(shares) for share in shares]
            confidence = max(shares)
            total -= math.log(shares[label])
            bins.setdefault(int(confidence * 15), []).append((confidence, shares.index(confidence) == label))
        gaps = [abs(sum(c for c, _ in members) - sum(hit for _, hit in members)) for members in bins.values()]
        assert found[f"ece{suffix}"] == pytest.approx(sum(gaps) / 500, abs=1e-6)
        assert found[f"nll{suffix}"] == pytest.approx(total / 500, rel=1e-5)
    assert found["ece_calibrated"] < 0.5 * found["ece"]
    assert found["nll_calibrated"] < found["nll"]


def test_without_a_temperature_nothing_is_called_calibrated() -> None:
    found = classifier_metrics(torch.eye(3), torch.tensor([0, 1, 1]), temperature=None)

    assert found.keys() == {"accuracy", "balanced_accuracy", "f1_macro", "recall_min", "recall_p10", "nll", "ece"}
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["balanced_accuracy"] == pytest.approx(3 / 4)
