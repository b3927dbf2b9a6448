"""Settings of the planted data."""

import pytest
from pydantic import ValidationError

from jobs.planted.config import PlantedConfig


@pytest.mark.parametrize(
    "bad",
    [
        {"min_length_s": 9.0},
        {"num_activities": 13},
        {"missing_imu": 1.5},
        {"noise": 1.0},
        {"effort": -0.1},
        {"events_by_subject": (4, 4)},
    ],
)
def test_impossible_settings_are_refused(bad):
    with pytest.raises(ValidationError, match=next(iter(bad))):
        PlantedConfig(**bad)


def test_every_setting_is_explained():
    assert [name for name, field in PlantedConfig.model_fields.items() if not field.description] == []
