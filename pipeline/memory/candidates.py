"""Which rows of the bank a step looks at."""

import numpy as np

from pipeline.data.permutation import permute


def draw_candidates(num_rows: int, num: int, *, key: int) -> np.ndarray:
    """min(num, num_rows) distinct positions (M,) int64 in random order, each as likely; cost follows M alone.

    With num >= num_rows every row is a candidate.
    """
    return permute(np.arange(min(num, num_rows)), size=num_rows, key=key)
