"""What stays together when probes hold samples out, and when intervals are resampled."""

import numpy as np
from numpy.typing import NDArray

from jobs.configs import Recipe
from pipeline.data.index import Index


def sample_groups(recipe: Recipe, index: Index) -> NDArray[np.str_]:
    """The subject of every sample (N,); each sample is its own group where the recipe names no subject."""
    return (index.key if recipe.subject is None else index.group(recipe.subject)).astype(np.str_)
