"""Augmented signals that fine-tuning learns from."""

from collections.abc import Mapping

from modalities.draws import Draws
from modalities.spec import Augment, Modality, Signal
from pipeline.types import Batch


class TrainingViews:
    """Views of a batch, drawn by (seed, stream, epoch, idx, view); streams without a modality stay as they are."""

    def __init__(self, modalities: Mapping[str, Modality], *, seed: int) -> None:
        self.augments: dict[str, Augment] = {name: modality.augment for name, modality in modalities.items()}
        self.seed = seed

    def __call__(self, batch: Batch, *, epoch: int, view: int = 0) -> dict[str, Signal]:
        """Signals by stream; those of the batch are not changed."""
        signals = dict(batch.signals)
        for name in signals.keys() & self.augments.keys():
            draws = Draws.keyed(batch.idx, seed=self.seed, purpose=f"finetune/{name}", epoch=epoch, view=view)
            signals[name] = self.augments[name](signals[name], draws)
        return signals
