"""A signal while Ray starts ends the process as at any other time."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import ray._private.utils as of_ray

from jobs._ray import Workers, connected, launch
from jobs._signals import STOP_FILE, Interrupted, graceful_stop, stopped_by_sigterm
from pipeline.errors import Preempted


def _leave(number: int, frame: object) -> None:
    raise SystemExit(number)


@pytest.fixture(params=["local", "127.0.0.1:1"])
def signalled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Makes a ray.init that sets its handler as Ray's does, hears a signal, and turns what that raises into its own."""
    monkeypatch.setattr(os, "environ", {**os.environ, "HOME": str(tmp_path), "TMPDIR": str(tmp_path)})
    monkeypatch.setattr(of_ray, "set_sigterm_handler", of_ray.set_sigterm_handler)
    monkeypatch.setattr("jobs._control_store.ControlStore.wait", lambda self: None)
    monkeypatch.setattr("jobs._ray.require_token", lambda address: None)
    os.environ.pop("RAY_ADDRESS", None)
    monkeypatch.setattr("jobs._ray_start._SOCKET_NAME_BYTES", 1000)  # no socket is made
    if request.param != "local":
        os.environ["RAY_ADDRESS"] = request.param

    def of(number: int, caught: type[BaseException] = Exception) -> None:
        def init(**given: object) -> None:
            of_ray.set_sigterm_handler(_leave)
            try:
                signal.raise_signal(number)
            except caught:
                raise RuntimeError("the node did not start") from None
            raise AssertionError("went on")

        monkeypatch.setattr("ray.init", init)

    return of


@pytest.mark.parametrize("caught", [Exception, BaseException])
def test_sigterm_is_preempted_even_where_ray_catches_it(
    signalled: Callable[..., None], caught: type[BaseException]
) -> None:
    signalled(signal.SIGTERM, caught)

    with stopped_by_sigterm(), pytest.raises(Preempted, match="stopped by SIGTERM"), connected(Workers(1)):
        pytest.fail("connected")


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGTERM, Preempted), (signal.SIGINT, Interrupted)])
def test_training_does_not_wait_for_the_end_of_the_start(
    signalled: Callable[..., None], tmp_path: Path, number: int, kind: type[Preempted]
) -> None:
    signalled(number)

    with pytest.raises(Preempted, match="while Ray started") as caught, graceful_stop(tmp_path):
        launch(lambda config: None, {}, Workers(1), stopping=(tmp_path / STOP_FILE).exists)

    assert type(caught.value) is kind


def test_ray_is_not_started_where_a_signal_came_before(signalled: object, tmp_path: Path) -> None:
    (tmp_path / STOP_FILE).touch()

    with pytest.raises(Preempted, match="while Ray started"):
        launch(lambda config: None, {}, Workers(1), stopping=(tmp_path / STOP_FILE).exists)
