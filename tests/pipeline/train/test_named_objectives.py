import pytest

from pipeline.errors import ConfigError
from pipeline.objectives.cross import CrossModal
from pipeline.objectives.spec import ObjectiveConfig
from pipeline.train.named_objectives import name_objectives
from tests.contracts.objective_examples import DEFAULTS, VARIANTS

EXAMPLES = DEFAULTS + VARIANTS


@pytest.mark.parametrize("config", [c for c in EXAMPLES if c.least_streams == 2], ids=repr)
def test_what_compares_streams_is_refused_with_one(config: ObjectiveConfig) -> None:
    with pytest.raises(ConfigError, match=r"CONFIG_STREAM.*objectives\.0.*at least 2") as caught:
        name_objectives([config], ["imu"])

    assert caught.value.field == "objectives.0.streams"


def test_the_streams_that_count_are_those_the_objective_names() -> None:
    config = CrossModal(streams=("imu",))

    with pytest.raises(ConfigError, match=r"CONFIG_STREAM.*at least 2"):
        name_objectives([config], ["imu", "note"])
