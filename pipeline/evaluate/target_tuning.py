"""Fine-tuning to a target beside the label as a Task: fused features -> a linear output for a number or a set of tags.

Axes: N samples of the data set, B of a batch, M that are answered for, K outputs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from modalities.spec import Modality
from pipeline.errors import DataError
from pipeline.evaluate.best_epoch import BestEpoch
from pipeline.evaluate.fused_network import FusedNetwork
from pipeline.evaluate.multi_label import MultiLabelTask
from pipeline.evaluate.regression import RegressionTask
from pipeline.evaluate.training_views import TrainingViews
from pipeline.train.task import Outputs
from pipeline.types import Batch, LossTerms

Answers: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Numbers:
    """table: (N, 1) float32 in units of `sd` from `mean`, NaN = unlabelled; both in the unit of the target."""

    table: Tensor
    mean: float
    sd: float

    @classmethod
    def of(cls, task: RegressionTask, shown: NDArray[np.int64]) -> "Numbers":
        """Standardised by the samples that training is shown, by number (n,), all of which have a number."""
        known = task.values[shown]
        # Where all are the same, as in a draw of one sample, there is no spread: their mean is all that can be learned.
        mean, sd = float(known.mean()), float(known.std()) or 1.0
        return cls(torch.from_numpy((task.values - mean) / sd).float()[:, None], mean, sd)

    def loss(self, outputs: Tensor, truth: Tensor) -> LossTerms:
        """Mean squared error of outputs (B, 1), in variances of what training is shown."""
        return LossTerms({"squared_error": functional.mse_loss(outputs, truth)})

    def answers(self, outputs: Tensor) -> Answers:
        """Numbers (M,) of outputs (M, 1), in the unit of the target."""
        return outputs[:, 0].double().numpy() * self.sd + self.mean


@dataclass(frozen=True)
class TagSets:
    """table: (N, K) float32, 1 where a sample has the tag, NaN = unlabelled."""

    table: Tensor

    @classmethod
    def of(cls, task: MultiLabelTask) -> "TagSets":
        """Of every labelled sample."""
        return cls(torch.from_numpy(np.where(task.known[:, None], task.tags, np.nan)).float())

    def loss(self, outputs: Tensor, truth: Tensor) -> LossTerms:
        """Mean binary cross-entropy of logits (B, K), over samples and tags, in nats."""
        return LossTerms({"binary_cross_entropy": functional.binary_cross_entropy_with_logits(outputs, truth)})

    def answers(self, outputs: Tensor) -> Answers:
        """Probabilities (M, K) of logits."""
        return outputs.double().sigmoid().numpy()


Truth: TypeAlias = Numbers | TagSets


class TargetTuning:
    """The loss of a linear output. kept: the best epoch, where training may end early.

    blocks: number of last blocks of each encoder that are trained; None trains all of it.
    """

    def __init__(
        self,
        modalities: Mapping[str, Modality],
        truth: Truth,
        *,
        seed: int,
        augment: bool = True,
        blocks: int | None = None,
    ) -> None:
        encoders = {name: modality.encoder for name, modality in modalities.items()}
        self.module = FusedNetwork(encoders, truth.table.shape[1], blocks=blocks)
        self.objectives = nn.Module()  # the loss has nothing to learn
        self.views = TrainingViews(modalities if augment else {}, seed=seed)
        self.truth = truth
        self.kept: BestEpoch | None = None

    def outputs(self, batch: Batch, *, epoch: int) -> Outputs:
        """Raises DataError for a sample without a label."""
        if bool(self._truth_of(batch.idx).isnan().any()):
            raise DataError("fine-tuning needs a label for every sample", code="DATA_LABEL")
        return {"idx": batch.idx, "outputs": self.module(self.views(batch, epoch=epoch)).float()}

    def loss(self, outputs: Outputs, *, step: int) -> LossTerms:
        return self.truth.loss(outputs["outputs"], self._truth_of(outputs["idx"]))

    def loss_of(self, outputs: Tensor, idx: NDArray[np.int64]) -> float:
        """The loss of predictions (M, K) for labelled samples (M,)."""
        return float(self.truth.loss(outputs, self._truth_of(torch.from_numpy(idx))).total())

    def total(self, terms: LossTerms) -> Tensor:
        return terms.total()

    def monitors(self, outputs: Outputs, *, step: int) -> dict[str, float]:
        return {}

    def _truth_of(self, idx: Tensor) -> Tensor:
        return self.truth.table[idx.cpu()].to(idx.device)
