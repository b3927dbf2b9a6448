"""Files of embeddings by Ray Data: a pool of processes, each with encoders of its own, which read shards themselves."""

import logging
from collections.abc import Callable, Sequence

import numpy as np

from jobs._ray import Workers, connected, daemon_watches, in_side_thread
from jobs.embedder import Embedder, EmbedPlan
from pipeline.errors import EnvironmentFault, KindredError


def embed_on_ray(plan: EmbedPlan, starts: Sequence[int], *, workers: int, written: Callable[[int], None]) -> None:
    """Write the files that begin at `starts`; `written` hears the samples of each as it is done, in another thread.

    Only numbers of samples pass through Ray, so its memory does not grow with the data. Raises what a process raised,
    EnvironmentFault where one was lost, ClusterLost where Ray itself was.
    """
    if not starts:
        return
    with connected(Workers(count=workers)):
        import ray
        from ray.exceptions import RayError

        ray.data.DataContext.get_current().enable_progress_bars = False
        _quieten()
        try:
            files = ray.data.from_items([{"start": start} for start in starts], override_num_blocks=len(starts))
            done = files.map_batches(
                _Process,
                fn_constructor_args=(plan,),
                batch_size=1,
                num_cpus=1,
                compute=ray.data.ActorPoolStrategy(size=min(workers, len(starts))),
            )

            def read() -> None:
                for row in done.iter_rows():
                    written(int(row["count"]))

            in_side_thread(read, *daemon_watches())
        except (RayError, KindredError) as error:
            raise _cause(error) from error


def _quieten() -> None:
    """What goes wrong is raised here, and its log file has the rest; threads of Ray Data that outlive a lost Ray would
    show tracebacks."""
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setLevel(logging.CRITICAL)


class _Process:
    """One process of the pool."""

    def __init__(self, plan: EmbedPlan) -> None:
        self.embedder = Embedder(plan)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"count": np.array([self.embedder.write(int(start)) for start in batch["start"]])}


def _cause(error: BaseException) -> KindredError:
    """Our own error that Ray wrapped, once or several times."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, KindredError):
            return found
        found = getattr(found, "cause", None) or found.__cause__
    return EnvironmentFault(
        f"a process that encodes was lost: {str(error).strip().splitlines()[-1][:400]}",
        code="RAY_WORKERS",
        fix="see Ray's logs; the same command keeps finished files",
    )
