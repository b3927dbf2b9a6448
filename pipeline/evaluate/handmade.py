"""Hand-made features of a whole batch, one extractor a stream: the control called `features`."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modalities.spec import Signal
from pipeline.evaluate.features import Encode
from pipeline.types import Batch

Extractor: TypeAlias = Callable[[Signal], NDArray[np.float32]]
"""Signal of B samples -> (B, F): `SensorStatistics`, `ImageStatistics`, a fitted `Words`."""


def handmade(extractors: Mapping[str, Extractor]) -> Encode:
    """An `encode` for `extract`, from stream name -> extractor."""

    def encode(batch: Batch) -> dict[str, Tensor]:
        return {name: torch.from_numpy(extract(batch.signals[name])) for name, extract in extractors.items()}

    return encode
