"""Frozen encoders, their fusion and perhaps a classifier as one function from samples to answers."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import JsonValue
from torch import nn

from modalities.spec import Signal
from pipeline.errors import DataError
from pipeline.evaluate.fitted_fusion import Fusion
from pipeline.evaluate.fused_network import FusedNetwork
from pipeline.evaluate.temperature import probabilities
from pipeline.model import pooled_features
from pipeline.serve.request import ServedStream, read_samples

Answer = dict[str, JsonValue]


@dataclass(frozen=True)
class Head:
    """A fine-tuned classifier, which has encoders of its own, the names of its classes and its temperature, if any."""

    classifier: FusedNetwork
    classes: tuple[str, ...]
    temperature: float | None = None


class ServedModel:
    """Call it with the samples of a request; it answers with one object for each."""

    def __init__(
        self,
        streams: Mapping[str, ServedStream],
        encoders: nn.ModuleDict,
        fusion: Fusion,
        head: Head | None = None,
        *,
        max_samples: int,
    ) -> None:
        self.streams, self.encoders, self.fusion, self.head = dict(streams), encoders.eval(), fusion, head
        self.max_samples = max_samples
        if head is not None:
            head.classifier.eval()

    def __call__(self, samples: object) -> list[Answer]:
        """`embeddings` of each stream (null where absent) and `fused`; with a head `probabilities` and `class` too.

        They are null for a sample that has no stream which the head reads. Raises DataError for what cannot be read.
        """
        signals = read_samples(samples, self.streams, limit=self.max_samples)
        with torch.inference_mode():
            answers = self._embeddings(signals)
            if self.head is not None:
                for answer, found in zip(answers, self._classes(self.head, signals), strict=True):
                    answer |= found
        return answers

    def _embeddings(self, signals: Mapping[str, Signal]) -> list[Answer]:
        values = {name: rows.numpy() for name, rows in pooled_features(self.encoders, signals).items()}
        present = {name: signals[name].present.numpy() for name in values}
        fused = self.fusion(values, present)
        _refuse_nonfinite(fused)
        return [
            {
                "embeddings": {n: rows[i].tolist() if present[n][i] else None for n, rows in values.items()},
                "fused": fused[i].tolist(),
            }
            for i in range(len(fused))
        ]

    def _classes(self, head: Head, signals: Mapping[str, Signal]) -> list[Answer]:
        read = {name: signals[name] for name in head.classifier.encoders}
        shares = probabilities(head.classifier(read).float(), head.temperature).numpy()
        _refuse_nonfinite(shares)
        known = torch.stack([signal.present for signal in read.values()]).any(dim=0).tolist()
        return [
            {
                "probabilities": dict(zip(head.classes, row.tolist(), strict=True)) if seen else None,
                "class": head.classes[int(row.argmax())] if seen else None,
            }
            for row, seen in zip(shares, known, strict=True)
        ]


def _refuse_nonfinite(rows: np.ndarray) -> None:
    wrong = ~np.isfinite(rows).all(axis=1)
    if wrong.any():
        raise DataError(
            "the model gives no finite number for this sample",
            code="DATA_NONFINITE",
            key=f"sample {int(wrong.argmax())}",
            field="inputs",
            fix="check the unit and the scale of its readings",
        )
