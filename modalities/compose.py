"""Several transforms as one augmentation, for any kind of signal."""

from collections.abc import Sequence

from modalities.draws import Draws
from modalities.spec import Augment, Signal


class Compose:
    """Transforms one after the other; each draws from its own stream, so changing one leaves the others' numbers."""

    def __init__(self, transforms: Sequence[Augment]) -> None:
        self.transforms = tuple(transforms)
        self.keeps_time = all(transform.keeps_time for transform in self.transforms)

    def __call__(self, signal: Signal, draws: Draws) -> Signal:
        for position, transform in enumerate(self.transforms):
            signal = transform(signal, draws.fork(f"transform/{position}"))
        return signal
