"""From a recipe to the order of its training samples."""

from collections.abc import Mapping, Sequence

import numpy as np

from jobs.configs import Recipe
from jobs.surroundings import relations_of, training_rows
from pipeline.data.group_batches import GroupBatches
from pipeline.data.index import Index
from pipeline.data.mixture import Mixture, MixtureSource
from pipeline.data.neighbour_batches import NeighbourBatches
from pipeline.data.order_config import GroupOrder, MixtureOrder, NeighbourOrder, ShuffleOrder
from pipeline.data.plan import Order, Plan
from pipeline.data.rows import rows_of
from pipeline.errors import ConfigError
from pipeline.relations.neighbours import Neighbours


def pretraining_order(
    recipe: Recipe, indexes: Sequence[Index], class_names: Mapping[str, Sequence[str]] | None = None
) -> Order:
    """Order over the training splits of one data set, or of those of `data.mix` in their order.

    class_names: label column -> class names of the first, for relations. Test and validation subjects never enter
    pretraining. Raises ConfigError or DataError where the data does not allow the order.
    """
    config, index = recipe.pretrain, indexes[0]
    train = index.rows("train")
    match config.order:
        case ShuffleOrder() as order:
            return Plan(train, batch_size=config.batch_size, seed=recipe.seed, last=config.last, order=order)
        case GroupOrder() as order:
            groups = index.group(order.column)[train]
            return GroupBatches(train, groups, batch_size=config.batch_size, seed=recipe.seed, order=order)
        case NeighbourOrder() as order:
            return _beside_neighbours(recipe, index, class_names or {}, order)
        case MixtureOrder() as order:
            starts = np.cumsum([0, *(len(index) for index in indexes)]).tolist()
            sources = [
                MixtureSource(rows_of(index.rows("train")), part.weight, start)
                for index, part, start in zip(indexes, recipe.data.mix or (), starts, strict=False)
            ]
            return Mixture(sources, batch_size=config.batch_size, seed=recipe.seed, order=order)


def _beside_neighbours(
    recipe: Recipe, index: Index, class_names: Mapping[str, Sequence[str]], order: NeighbourOrder
) -> Order:
    config, rows = recipe.pretrain, training_rows([index])
    if config.batch_size % 2:
        raise ConfigError(
            "half of a batch are anchors, half neighbours",
            code="CONFIG_VALUE",
            field="pretrain.batch_size",
            expected="an even number",
            got=config.batch_size,
        )
    relation = relations_of(recipe, index, class_names, [order.relation])[order.relation]
    anchors = Plan(rows, batch_size=config.batch_size // 2, seed=recipe.seed, last=config.last, order=order.shuffle)
    return NeighbourBatches(anchors, Neighbours(relation, rows, seed=recipe.seed))
