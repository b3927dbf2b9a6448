"""Units of an ingest as Ray tasks."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from jobs._ray import LOOK_S, Workers, connected, daemon_watches
from pipeline.data.ingest import UnitMap
from pipeline.data.work_units import Unit
from pipeline.data.write_unit import UnitWriter
from pipeline.errors import EnvironmentFault

if TYPE_CHECKING:
    import ray

MAX_RETRIES = 3
"""Times that a unit is tried again after its worker was lost; writing a unit twice gives the same bytes."""
_AHEAD = 2
"""Tasks in flight per worker: a unit waits wherever a worker becomes free."""


def units_on_ray(count: int) -> UnitMap:
    """A map that keeps `count` processes busy, and no more than twice as many tasks in flight."""

    def run(write: UnitWriter, units: Iterable[Unit]) -> Iterator[int]:
        todo = list(units)
        if todo:
            with connected(Workers(count=count)):
                yield from _run(write, todo, count)

    return run


def _run(write: UnitWriter, units: Iterable[Unit], count: int) -> Iterator[int]:
    import ray

    task = ray.remote(num_cpus=1, max_retries=MAX_RETRIES)(_write)
    writer, flying, watches = ray.put(write), set[ray.ObjectRef](), daemon_watches()
    for unit in units:
        if len(flying) >= _AHEAD * count:
            yield _next(flying, watches)
        flying.add(task.remote([writer], unit))
    while flying:
        yield _next(flying, watches)


def _next(flying: "set[ray.ObjectRef]", watches: Sequence[Callable[[], None]]) -> int:
    import ray
    from ray.exceptions import RayError, RayTaskError

    ready: list[ray.ObjectRef] = []
    while not ready:
        ready, _ = ray.wait(list(flying), num_returns=1, timeout=LOOK_S)
        for watch in watches:
            watch()
    (done,) = ready
    flying.remove(done)
    try:
        return ray.get(done)
    except RayTaskError as error:
        raise error.cause from error
    except RayError as error:
        raise EnvironmentFault(
            f"a worker of the ingest was lost: {str(error).strip().splitlines()[-1][:400]}",
            code="RAY_WORKERS",
            fix="see Ray's logs; the same command keeps finished units",
        ) from error


def _write(writer: "list[ray.ObjectRef]", unit: Unit) -> int:
    return _fetch(writer[0])(unit)


@lru_cache(maxsize=1)  # one writer per process: it keeps arrays that many records share
def _fetch(writer: "ray.ObjectRef") -> UnitWriter:
    import ray

    return ray.get(writer)
