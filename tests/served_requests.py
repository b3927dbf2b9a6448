"""Requests to a served model, made of stored samples, and what training-time code makes of the same samples."""

import base64
import io
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import torch

from jobs.assemble import Dataset, open_dataset, source_of
from jobs.finetune import classification
from jobs.finished_run import finished_run
from jobs.frozen import encoded_features, encoders_of
from jobs.pretrained import pretrained_encoders
from jobs.stages import Context
from jobs.tuned import tuned_classifier
from modalities.catalogue import AnySchema
from modalities.image.codec import ImageSchema
from modalities.sensor.codec import SensorSchema
from pipeline.evaluate.class_loss import ClassLoss
from pipeline.evaluate.fusion import fit_fusion
from pipeline.evaluate.weights import load_weights
from pipeline.model import pooled_features
from pipeline.tracking import Spool
from pipeline.types import Batch

Sample = dict[str, object]


def subsets(streams: Sequence[str]) -> list[tuple[str, ...]]:
    """Every one but the empty one."""
    return [chosen for size in range(1, len(streams) + 1) for chosen in combinations(streams, size)]


def stated(schema: AnySchema, payload: bytes) -> object:
    """A stored payload as a client would send it."""
    match schema:
        case SensorSchema():
            series = np.load(io.BytesIO(payload))
            values = [[None if np.isnan(x) else float(x) for x in row] for row in series]
            return {"values": values, "channels": list(schema.channels), "rate_hz": schema.rate_hz}
        case ImageSchema():
            return base64.b64encode(payload).decode()
        case _:
            return payload.decode()


class TrainingTime:
    """A finished run as its own stages see it."""

    def __init__(self, folder: Path) -> None:
        self.recipe, self.folder = finished_run(str(folder))
        self.dataset: Dataset = open_dataset(source_of(self.recipe), self.recipe.aliases)
        self.streams = list(self.recipe.streams)
        self.encoders = encoders_of(self.recipe, self.dataset, pretrained_encoders(self.recipe, self.folder))
        self.table = encoded_features(self.encoders, self.dataset, path=self.folder.stage("probe") / "features.parquet")
        self.whole = np.flatnonzero(np.all([self.dataset.index.present(name) for name in self.streams], axis=0))

    def payloads(self, idx: np.ndarray, kept: Sequence[str]) -> Mapping[str, list[bytes | None]]:
        """Stored bytes of samples, without the streams that are not kept."""
        found = self.dataset.reader.payloads(idx, self.streams)
        return {name: found[name] if name in kept else [None] * len(idx) for name in self.streams}

    def request(self, idx: np.ndarray, kept: Sequence[str]) -> list[Sample]:
        """The same samples as a client states them."""
        stored = self.payloads(idx, kept)
        return [
            {
                self.recipe.aliases.get(name, name): stated(self.dataset.schemas[name], payload)
                for name in self.streams
                if (payload := stored[name][row]) is not None
            }
            for row in range(len(idx))
        ]

    def batch(self, idx: np.ndarray, kept: Sequence[str]) -> Batch:
        """As the reader gives it."""
        signals = {n: self.dataset.reader.codecs[n].decode(p) for n, p in self.payloads(idx, kept).items()}
        return Batch(torch.from_numpy(idx), signals, {})

    def embeddings(self, idx: np.ndarray, kept: Sequence[str]) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Features by stream, and fused as the probe fuses them."""
        signals = self.batch(idx, kept).signals
        values = {name: rows.numpy() for name, rows in pooled_features(self.encoders, signals).items()}
        present = {name: signal.present.numpy() for name, signal in signals.items()}
        fusion = fit_fusion(self.table, self.streams, train=self.dataset.index.rows("train"))
        return values, fusion(values, present)

    def probabilities(self, idx: np.ndarray, kept: Sequence[str]) -> np.ndarray:
        """Of the fine-tuned classifier."""
        tuned = tuned_classifier(self.folder, None)
        assert tuned is not None
        spool = Spool(self.folder.path / "tracking" / "unused.jsonl")
        task = classification(Context(self.recipe, self.folder, spool, spool), self.dataset, ClassLoss())
        load_weights(task.module, tuned[1])
        temperature = tuned[0].temperature
        assert temperature is not None
        return (task.module.predict(self.batch(idx, kept)) / temperature).softmax(dim=1).numpy()
