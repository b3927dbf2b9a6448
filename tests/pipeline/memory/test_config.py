import pytest
import torch
from pydantic import ValidationError

from pipeline.memory.config import MemoryConfig


@pytest.mark.parametrize(
    "wrong",
    [
        {"momentum": 0.0},
        {"momentum": 1.5},
        {"encoder_momentum": 1.0},
        {"queue": -1},
        {"warmup_epochs": 0},
        {"candidates": 0},
        {"clusters": {"num": []}},
        {"clusters": {"refresh_every": 0}},
        {"dtype": "int8"},
    ],
)
def test_values_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        MemoryConfig.model_validate(wrong)


def test_it_survives_json_and_names_its_precision() -> None:
    config = MemoryConfig.model_validate({"dtype": "bfloat16", "clusters": {"num": [4, 8]}})

    assert MemoryConfig.model_validate_json(config.model_dump_json()) == config
    assert config.torch_dtype == torch.bfloat16
