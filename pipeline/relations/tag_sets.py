"""Samples with equal or nearly equal tag sets (label-set graphs of arXiv 2103.10334)."""

from collections.abc import Iterator

import numpy as np
from scipy import sparse

from pipeline.data.labels import tags_of
from pipeline.relations.built import Built, Findings
from pipeline.relations.cliques import cliques
from pipeline.relations.config import TagSetsRelation
from pipeline.relations.edges import Edges
from pipeline.relations.ranges import ranges
from pipeline.relations.samples import Samples, value_numbers
from pipeline.relations.symmetrise import refuse_too_many, symmetrise

_TILE_CELLS = 1 << 24
MAX_SETS = 1 << 16
"""Most distinct tag sets that are compared with each other; a radius of 0 compares none."""


def close_tag_sets(config: TagSetsRelation, samples: Samples) -> Built:
    """Links between tag sets that differ in at most `radius` tags; radius 0 never writes links down.

    Raises ConfigError for an unknown column, too many sets, or too many links.
    """
    samples.check_column(config.column, key="column", labels=True)
    uses_label = samples.is_label(config.column)
    if uses_label and config.column not in samples.class_names:
        raise samples.bad("column", f"the class names of {config.column!r} are needed", got=config.column)
    texts = samples.texts(config.column)
    sets, number = distinct_sets(texts, config.separator)
    unknown = int((number < 0).sum())
    alike = config.radius == 0 or not sets
    relation = cliques(number, weight=config.weight) if alike else _expand(config, samples, sets, number)
    isolated = int((relation.degree() == 0).sum())
    return Built(relation, Findings(unknown=unknown, isolated=isolated, uses_label=uses_label))


def distinct_sets(texts: np.ndarray, separator: str) -> tuple[list[frozenset[str]], np.ndarray]:
    """Distinct tag sets, and the number (n,) int64 of each text's; -1 for "". Spaces around tags do not count."""
    value = value_numbers(texts)
    known, first = np.unique(value, return_index=True)
    written: list[str] = texts[first[known >= 0]].tolist()
    numbers: dict[frozenset[str], int] = {}
    of_value = np.full(len(written) + 1, -1, np.int64)  # the last is for samples without a text, whose value is -1
    for number, text in enumerate(written):
        tags = tags_of(text, separator)
        of_value[number] = numbers.setdefault(tags, len(numbers)) if tags else -1
    return list(numbers), of_value[value]


def close_pairs(sets: list[frozenset[str]], radius: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Numbers of two different sets (first < second) that differ in at most `radius` tags, tile by tile."""
    tags = sorted(frozenset[str]().union(*sets))
    position = {tag: number for number, tag in enumerate(tags)}
    columns = [position[tag] for each in sets for tag in sorted(each)]
    sizes = np.array([len(each) for each in sets])
    starts = np.concatenate([[0], np.cumsum(sizes)])
    has = sparse.csr_array((np.ones(len(columns), np.float32), columns, starts), shape=(len(sets), len(tags)))
    tile = max(1, _TILE_CELLS // len(sets))
    for low in range(0, len(sets), tile):
        common = (has[low : low + tile] @ has.T).toarray()
        apart = sizes[low : low + tile, None] + sizes - 2 * common
        first, second = np.nonzero(apart <= radius)
        upper = first + low < second
        yield first[upper] + low, second[upper]


def _expand(config: TagSetsRelation, samples: Samples, sets: list[frozenset[str]], number: np.ndarray) -> Edges:
    if len(sets) > MAX_SETS:
        raise samples.bad(
            "radius", f"{config.column} has {len(sets)} distinct tag sets", expected=f"<= {MAX_SETS}", got=len(sets)
        )
    size = np.bincount(number[number >= 0], minlength=len(sets))
    pairs = list(close_pairs(sets, config.radius))
    first = np.concatenate([np.arange(len(sets)), *(a for a, _ in pairs)])
    second = np.concatenate([np.arange(len(sets)), *(b for _, b in pairs)])
    fix = "use radius 0, whose links are never written down, or a column with finer tags"
    refuse_too_many(int((size[first] * size[second]).sum()) * 2, field=samples.field("radius"), fix=fix)
    members = np.argsort(number, kind="stable")[int((number < 0).sum()) :].astype(np.int32)
    start = np.cumsum(size) - size
    # Every member of the first set beside every member of the second.
    node = ranges(start[first], size[first])
    times = np.repeat(size[second], size[first])
    target = ranges(np.repeat(start[second], size[first]), times)
    source, target = members[np.repeat(node, times)], members[target]
    own = source != target
    return symmetrise(len(samples), source[own], target[own], config.weight).edges
