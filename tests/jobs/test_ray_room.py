"""Workers that ask for GPUs that are not there are refused, not left to wait."""

import contextlib
import logging
from collections.abc import Callable

import pytest

from jobs import _ray, _ray_trials
from jobs._ray import Workers, launch
from jobs._ray_room import require_gpus, room
from jobs._ray_trials import run_trials
from pipeline.errors import ClusterLost, EnvironmentFault


@pytest.mark.parametrize(
    ("nodes", "per_worker", "workers"),
    [
        ([], 1, 0),
        ([0, 0], 0.1, 0),
        ([2, 1], 1, 3),
        ([3, 1], 2, 1),
        ([1], 0.5, 2),
        ([1], 0.1, 10),
        ([2], 0.6, 2),
        ([1], 1 / 3, 3),
    ],
)
def test_workers_fit_as_ray_deals_gpus(nodes: list[float], per_worker: float, workers: int) -> None:
    assert room(nodes, per_worker) == workers


@pytest.fixture
def of_gpus(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets how many GPUs the living nodes of a connected Ray have."""

    def have(*gpus: float) -> None:
        nodes = [{"Alive": True, "Resources": {"CPU": 2.0} | ({"GPU": each} if each else {})} for each in gpus]
        nodes.append({"Alive": False, "Resources": {"GPU": 64.0}})
        monkeypatch.setattr("ray.nodes", lambda: nodes)

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for module in (_ray, _ray_trials):
        monkeypatch.setattr(module, "connected", lambda *given: contextlib.nullcontext())
        monkeypatch.setattr(module, "scratch", lambda *given: contextlib.nullcontext())
    return have


def _refusal(of: Callable[[], object]) -> EnvironmentFault:
    with pytest.raises(EnvironmentFault, match="this machine has too few GPUs") as caught:
        of()
    assert not isinstance(caught.value, ClusterLost)
    assert (caught.value.code, caught.value.exit_code, caught.value.field) == ("ENV_GPUS", 71, "pretrain.gpus")
    return caught.value


def test_training_says_what_is_lacking(of_gpus: Callable[..., None]) -> None:
    of_gpus(1)

    error = _refusal(lambda: launch(lambda config: None, {}, Workers(3, gpus=0.6)))

    assert "for 3 workers with 0.6 GPU each" in error.message
    assert (error.expected, error.got) == (">= 3 GPUs", "1 GPUs")
    assert "pretrain.gpus=0" in error.fix


def test_an_elastic_group_needs_room_for_its_fewest_workers(of_gpus: Callable[..., None]) -> None:
    of_gpus(1)
    require_gpus(1, 1, private=True)

    assert "2 workers" in _refusal(lambda: launch(lambda config: None, {}, Workers(4, least=2, gpus=1))).message


def test_a_sweep_needs_room_for_one_trial(of_gpus: Callable[..., None]) -> None:
    of_gpus(0)

    error = _refusal(lambda: run_trials({}, Workers(4, gpus=1), ended=lambda name: None))

    assert "1 worker with 1 GPU each" in error.message


def test_a_shared_cluster_may_grow(of_gpus: Callable[..., None], caplog: pytest.LogCaptureFixture) -> None:
    of_gpus(0, 1)

    with caplog.at_level(logging.WARNING):
        require_gpus(1, 2, private=False)

    assert "the cluster has 1 GPUs, too few for 2 workers with 1 GPU each" in caplog.text
