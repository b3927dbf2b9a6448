"""Samples with equal values of a column."""

from pipeline.relations.built import Built, Findings
from pipeline.relations.cliques import cliques
from pipeline.relations.config import SameRelation
from pipeline.relations.samples import Samples


def same_value(config: SameRelation, samples: Samples) -> Built:
    """Cliques of equal values. Raises ConfigError for an unknown column."""
    group = samples.numbers(config.column, key="column", labels=True)
    other = None if config.other is None else samples.numbers(config.other, key="other", labels=True)
    unknown = int(((group < 0) | (False if other is None else other < 0)).sum())
    relation = cliques(group, other, weight=config.weight)
    uses_label = any(samples.is_label(column) for column in (config.column, config.other) if column)
    isolated = int((relation.degree() == 0).sum())
    return Built(relation, Findings(unknown=unknown, isolated=isolated, uses_label=uses_label))
