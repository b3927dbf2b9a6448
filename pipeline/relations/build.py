"""From a relation's configuration to the relation."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.data.index import Index
from pipeline.data.rows import Rows
from pipeline.relations.built import Built
from pipeline.relations.config import (
    AnyRelation,
    EdgesRelation,
    MetaPathRelation,
    NearestRelation,
    SameRelation,
    TagSetsRelation,
    TemporalRelation,
)
from pipeline.relations.edge_file import listed_edges
from pipeline.relations.meta_path import similar_by_paths
from pipeline.relations.nearest import nearest_values
from pipeline.relations.same import same_value
from pipeline.relations.samples import Samples
from pipeline.relations.tag_sets import close_tag_sets
from pipeline.relations.temporal import close_in_time


def build_relation(
    name: str,
    config: AnyRelation,
    index: Index,
    rows: Rows,
    *,
    folder: Path = Path(),
    class_names: Mapping[str, Sequence[str]] | None = None,
) -> Built:
    """The relation over `rows`, the pretraining split of `index`; its nodes are positions in `rows`.

    folder: where relative paths of edge files start. class_names: label column -> class names as the manifest has
    them; tag sets in a label column need them. The result depends on the arguments alone. Raises ConfigError, DataError
    or Problems.
    """
    samples = Samples(name, index, rows, folder, class_names or {})
    match config:
        case SameRelation():
            return same_value(config, samples)
        case TemporalRelation():
            return close_in_time(config, samples)
        case TagSetsRelation():
            return close_tag_sets(config, samples)
        case NearestRelation():
            return nearest_values(config, samples)
        case EdgesRelation():
            return listed_edges(config, samples)
        case MetaPathRelation():
            return similar_by_paths(config, samples)
