"""Shards checked by several processes, results in order, few shards ahead."""

import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

import torch

from pipeline.data.verify_content import ShardCheck, ShardResult, ShardTask
from pipeline.errors import EnvironmentFault

_checks: list[ShardCheck] = []  # of this worker process: sent once, so that a tokenizer is loaded once


@dataclass(frozen=True)
class ShardPool:
    """Like the built-in map, in `workers` processes."""

    workers: int

    def __call__(self, check: ShardCheck, tasks: Iterable[ShardTask]) -> Iterator[ShardResult]:
        """Results in the order of tasks. Raises EnvironmentFault where a process dies."""
        if self.workers == 1:
            yield from map(check, tasks)
            return
        context, waiting = multiprocessing.get_context("spawn"), deque[Future[ShardResult]]()
        pool = ProcessPoolExecutor(self.workers, context, initializer=_start, initargs=(check,))
        try:
            for task in tasks:
                waiting.append(pool.submit(_run, task))
                if len(waiting) > 2 * self.workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise EnvironmentFault(
                "a process that checked shards was killed", code="ENV_PROCESS", fix="use fewer --workers"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _start(check: ShardCheck) -> None:
    torch.set_num_threads(1)
    _checks[:] = [check]


def _run(task: ShardTask) -> ShardResult:
    return _checks[0](task)
