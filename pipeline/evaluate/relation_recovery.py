"""Whether frozen features show the links of declared relations, beside those of a random encoder."""

import math
from collections.abc import Mapping

import numpy as np
from pydantic import JsonValue, TypeAdapter

from modalities.spec import Config
from pipeline.relations.graph_recovery import graph_recovery
from pipeline.relations.relation import Relation

RECALL_AT = 10


class Recovered(Config):
    """Graph recovery of one relation by one kind of features; None where nothing is linked, or everything."""

    auroc: float | None
    """Chance that a linked pair is more alike than a pair that is not."""
    mrr: float | None
    """Mean reciprocal rank of a sample's first neighbour."""
    recall: float | None
    """Share of a sample's neighbours among its `RECALL_AT` nearest."""


Recoveries = dict[str, dict[str, Recovered]]  # relation -> source of the features -> figures


def recover(relations: Mapping[str, Relation], features: Mapping[str, np.ndarray]) -> Recoveries:
    """By relation and source of the features (n, d), whose rows are the nodes of the relations."""
    return {
        name: {source: _recovered(relation, x) for source, x in features.items()}
        for name, relation in relations.items()
    }


def recovery_metrics(found: Recoveries) -> dict[str, float]:
    """Flat names `recovery/<relation>/<source>/<figure>`."""
    return {
        f"recovery/{name}/{source}/{figure}": value
        for name, sources in found.items()
        for source, recovered in sources.items()
        for figure, value in recovered.model_dump().items()
        if value is not None
    }


def read_recoveries(document: JsonValue) -> Recoveries:
    """From `recovery` of the probe's result. Raises pydantic's ValidationError."""
    return TypeAdapter(Recoveries).validate_python(document or {})


def _recovered(relation: Relation, x: np.ndarray) -> Recovered:
    found = graph_recovery(relation, x, ks=(RECALL_AT,))
    values = {"auroc": found.auroc, "mrr": found.mrr, "recall": found.recall[RECALL_AT]}
    return Recovered(**{name: None if math.isnan(value) else value for name, value in values.items()})
