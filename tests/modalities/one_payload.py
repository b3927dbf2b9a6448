"""A batch of one, back as an array."""

import numpy as np

from modalities.spec import Codec


def decode_one(codec: Codec, payload: bytes) -> np.ndarray:
    """What `payload` holds: pixels, token ids, or a series, NaN where unobserved, cut after its last reading."""
    signal = codec.decode([payload])
    values = signal.values[0].numpy()
    if signal.mask is None:
        return values
    mask = signal.mask[0].numpy()
    if mask.ndim == 1:
        return values[mask]
    seen = np.flatnonzero(mask.any(axis=0))
    return np.where(mask, values, np.nan)[:, : seen[-1] + 1 if len(seen) else 0]
