"""Embeddings of ranges of samples, a Parquet file each: what every process of `kindred embed` does by itself."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from pydantic import JsonValue
from torch import nn

from jobs._run_folder import RunFolder
from jobs.assemble import Dataset, open_dataset, source_of
from jobs.configs import Recipe
from jobs.frozen import encode, encoded_features, encoder_hash, encoders_of
from jobs.pretrained import pretrained_encoders
from jobs.transfer import transfer
from pipeline.config import build_config
from pipeline.evaluate.features import write_features
from pipeline.evaluate.fitted_fusion import Fusion
from pipeline.evaluate.fusion import fit_fusion


@dataclass(frozen=True)
class EmbedPlan:
    """recipe: of the run; dataset: the same with the data set that is embedded; rows: samples of one file."""

    recipe: dict[str, JsonValue]
    dataset: dict[str, JsonValue]
    out: str
    rows: int

    def part(self, start: int) -> Path:
        """The file of the samples from `start` on."""
        return Path(self.out) / f"part-{start:012d}.parquet"


class Embedder:
    """Encoders, their fusion and an open data set."""

    def __init__(self, plan: EmbedPlan) -> None:
        self.plan = plan
        recipe = build_config(Recipe, dict(plan.recipe))
        folder = RunFolder(recipe.folder)
        own = transfer(recipe, folder, open_dataset(source_of(recipe), recipe.aliases)).dataset
        torch.set_num_threads(1)  # the processes share the machine
        self.streams = list(recipe.streams)
        self.encoders: nn.ModuleDict = encoders_of(recipe, own, pretrained_encoders(recipe, folder))
        table = encoded_features(self.encoders, own, path=folder.stage("probe") / "features.parquet")
        self.fusion: Fusion = fit_fusion(table, self.streams, train=own.index.rows("train"))
        found = open_dataset(source_of(build_config(Recipe, dict(plan.dataset))), recipe.aliases)
        self.transfer = transfer(recipe, folder, found)
        self.dataset: Dataset = self.transfer.dataset
        self.hash = f"{encoder_hash(self.encoders)}:{self.dataset.manifest.sha256}"

    def starts(self) -> range:
        """First sample of every file."""
        return range(0, self.dataset.manifest.num_samples, self.plan.rows)

    def count(self, start: int) -> int:
        """Samples of a file."""
        return min(self.plan.rows, self.dataset.manifest.num_samples - start)

    def write(self, start: int) -> int:
        """Write one file whole or not at all; returns its number of samples. Raises DataError."""
        idx = np.arange(start, start + self.count(start))
        features = encode(self.encoders, self.dataset, idx)
        fused = self.fusion(features.values, features.present)
        columns = {
            "key": pa.array(self.dataset.index.key[idx].astype(str)),
            "fused": pa.FixedSizeListArray.from_arrays(pa.array(fused.ravel()), fused.shape[1]),
        }
        write_features(features, self.plan.part(start), encoder_hash=self.hash, columns=columns)
        return len(idx)
