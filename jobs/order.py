"""From a recipe to the order of its training samples."""

from collections.abc import Sequence

import numpy as np

from jobs.configs import Recipe
from pipeline.data.group_batches import GroupBatches
from pipeline.data.index import Index
from pipeline.data.mixture import Mixture, MixtureSource
from pipeline.data.order_config import GroupOrder, MixtureOrder, ShuffleOrder
from pipeline.data.plan import Order, Plan
from pipeline.data.rows import rows_of


def pretraining_order(recipe: Recipe, indexes: Sequence[Index]) -> Order:
    """Order over the training splits of one data set, or of those of `data.mix` in their order.

    Test and validation subjects never enter pretraining. Raises ConfigError or DataError where the data does not allow
    the order.
    """
    config, index = recipe.pretrain, indexes[0]
    train = index.rows("train")
    match config.order:
        case ShuffleOrder() as order:
            return Plan(train, batch_size=config.batch_size, seed=recipe.seed, last=config.last, order=order)
        case GroupOrder() as order:
            groups = index.group(order.column)[train]
            return GroupBatches(train, groups, batch_size=config.batch_size, seed=recipe.seed, order=order)
        case MixtureOrder() as order:
            starts = np.cumsum([0, *(len(index) for index in indexes)]).tolist()
            sources = [
                MixtureSource(rows_of(index.rows("train")), part.weight, start)
                for index, part, start in zip(indexes, recipe.data.mix or (), starts, strict=False)
            ]
            return Mixture(sources, batch_size=config.batch_size, seed=recipe.seed, order=order)
