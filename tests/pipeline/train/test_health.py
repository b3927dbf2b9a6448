import math

import pytest
import torch

from pipeline.train.health import alignment, collapse_alarms, effective_rank, embedding_health, uniformity


def test_rank_counts_equal_directions() -> None:
    assert effective_rank(torch.eye(5)) == pytest.approx(5.0, rel=1e-4)
    assert effective_rank(torch.ones(7, 3)) == pytest.approx(1.0, rel=1e-3)


def test_alignment_and_uniformity_of_two_opposite_points() -> None:
    a = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])

    assert alignment(a, a) == 0.0
    assert alignment(a, -a) == pytest.approx(4.0)
    assert uniformity(a) == pytest.approx(math.log(math.exp(-8.0)))


@pytest.mark.fault("N04")
def test_a_healthy_sphere_and_both_collapses_are_told_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    sphere = torch.randn(256, 1, 32, generator=generator)
    low_rank = torch.randn(256, 1, 3, generator=generator) @ torch.randn(3, 32, generator=generator)
    point = torch.ones(256, 1, 32) + 1e-3 * torch.randn(256, 1, 32, generator=generator)

    healthy, flat, dead = (embedding_health(z) for z in (sphere, low_rank, point))

    assert healthy["std"] == pytest.approx(1.0, abs=0.05)
    assert healthy["rank"] > 25
    assert flat["std"] > 0.8
    assert flat["rank"] < 4
    assert dead["mean_cosine"] > 0.99
    assert dead["rank_centred"] > 20  # looks healthy: both ranks are needed
    assert dead["rank"] < 2


def test_too_few_samples_have_no_monitors() -> None:
    assert embedding_health(torch.ones(2, 2, 4)) == {}


@pytest.mark.fault("N04")
def test_alarms_name_the_stream_and_the_level() -> None:
    metrics = {
        "pretrain/health/imu/std": 0.2,
        "pretrain/health/imu/mean_cosine": 0.5,
        "pretrain/health/note/mean_cosine": 0.95,
        "pretrain/health/photo/std": 0.9,
        "std": 0.0,
    }

    imu, note = collapse_alarms(metrics)

    assert "imu may be collapsing: std 0.20, alarm level 0.3" in imu
    assert "note may be collapsing: mean_cosine 0.95, alarm level 0.9" in note
