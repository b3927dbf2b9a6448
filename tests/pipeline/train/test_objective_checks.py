"""What an objective lacks is refused before the first step, by the key of the recipe that has to change."""

import dataclasses

import numpy as np
import pytest

from pipeline.errors import ConfigError
from pipeline.memory.config import ClustersConfig, MemoryConfig
from pipeline.objectives.cross import CrossModal
from pipeline.objectives.inter import InterSample
from pipeline.objectives.intra import IntraSample
from pipeline.objectives.momentum_keys import MomentumKeys
from pipeline.objectives.relational import NegativeDomain, Relational
from pipeline.objectives.spec import ObjectiveConfig
from pipeline.relations.cliques import cliques
from pipeline.train.named_objectives import name_objectives
from pipeline.train.objective_checks import check_objective
from pipeline.worker import SingleWorker
from tests.toy_surroundings import HEAD, toy_surroundings

INTRA = IntraSample(projection=HEAD)
SMALL = MemoryConfig(clusters=ClustersConfig(num=(3, 5)), encoder_momentum=0.9)


@pytest.mark.parametrize(
    ("config", "code", "field"),
    [
        (InterSample(labels="gyro"), "CONFIG_MEMORY", "objectives.1.labels"),
        (InterSample(labels="fused"), "CONFIG_MEMORY", "objectives.1.labels"),
        (InterSample(granularity=2), "CONFIG_MEMORY", "objectives.1.granularity"),
        (Relational(relation="none"), "CONFIG_RELATION", "objectives.1.relation"),
        (Relational(relation="apart"), "CONFIG_RELATION", "relations.apart"),
        (
            Relational(relation="fifth", negatives=NegativeDomain(same="zz")),
            "CONFIG_COLUMN",
            "objectives.1.negatives.same",
        ),
        (
            Relational(relation="fifth", negatives=NegativeDomain(other="fifth")),
            "CONFIG_COLUMN",
            "objectives.1.negatives.other",
        ),
    ],
)
def test_the_key_is_named(config: ObjectiveConfig, code: str, field: str) -> None:
    around = toy_surroundings(SingleWorker(), num_samples=40, memory=SMALL)
    around = dataclasses.replace(around, relations={**around.relations, "apart": cliques(np.arange(40))})
    source, objective = name_objectives([INTRA, config], ["a", "b"])

    with pytest.raises(ConfigError) as caught:
        check_objective(objective, source, around)

    assert (caught.value.code, caught.value.field) == (code, field)


@pytest.mark.parametrize(
    "config",
    [
        InterSample(streams=("b",)),
        IntraSample(streams=("b",), projection=HEAD, false_negatives=True),
        Relational(relation="fifth", mode="bank", streams=("b",)),
    ],
)
def test_a_stream_that_the_source_does_not_remember_is_refused(config: ObjectiveConfig) -> None:
    around = toy_surroundings(SingleWorker(), num_samples=40, memory=SMALL)
    only_a = IntraSample(streams=("a",), projection=HEAD)
    source, objective = name_objectives([only_a, config], ["a", "b"])

    with pytest.raises(ConfigError) as caught:
        check_objective(objective, source, around)

    assert caught.value.field == "objectives.1.streams"


def test_momentum_keys_need_a_queue_and_to_be_the_source() -> None:
    around = toy_surroundings(SingleWorker(), num_samples=40, memory=SMALL)
    keys, cross = name_objectives([MomentumKeys(projection=HEAD), CrossModal(projection=HEAD)], ["a", "b"])

    for source, field in ((keys, "memory.queue"), (cross, "memory.source")):
        with pytest.raises(ConfigError) as caught:
            check_objective(keys, source, around)
        assert caught.value.field == field


@pytest.mark.parametrize("wrong", [{"streams": []}, {"streams": ["a", "a"]}, {"weight": 1e-300}, {"weight": 1e300}])
def test_streams_come_once_and_weights_show(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"streams|weight"):
        IntraSample.model_validate(wrong)
