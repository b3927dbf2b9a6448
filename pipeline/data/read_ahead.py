"""Bounded read-ahead by a few threads, in exact order.

Threads are enough: decoding images, reading files and tokenising release the interpreter lock. Two threads decode JPEG
1.7 times as fast as one on two cores, while batches from processes have to be copied once more.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from pipeline.data.thread_limits import starting_threads

J = TypeVar("J")
T = TypeVar("T")

MOST_BATCHES_AHEAD = 8
"""More than this many batches in reserve no longer evens out anything."""


def read_ahead(
    jobs: Iterable[J], read: Callable[[J], T], *, readers: int, max_bytes: int, size: Callable[[T], int]
) -> Generator[tuple[J, T], None, None]:
    """Yield (job, read(job)) in the order of `jobs`; `readers` threads work ahead of the consumer.

    What is read or being read beyond the item yielded is at most `max_bytes`, counted as the largest `size` seen, but
    always one item. Exceptions of `read` come in the place of their item. Closing the generator waits for the reads in
    progress, which is short, and ends the threads.
    """
    if readers < 1:
        raise ValueError(f"readers must be at least 1, got {readers}")
    source, pending = iter(jobs), deque[tuple[J, Future[T]]]()
    ahead, largest = 1, 1
    pool = ThreadPoolExecutor(readers, thread_name_prefix="read-ahead")

    def fill() -> None:
        for job in source:
            with starting_threads():
                future = pool.submit(read, job)
            pending.append((job, future))
            if len(pending) >= ahead:
                break

    try:
        fill()
        while pending:
            job, future = pending.popleft()
            item = future.result()
            largest = max(largest, size(item))
            ahead = max(1, min(MOST_BATCHES_AHEAD, max_bytes // largest))
            if len(pending) < ahead:
                fill()
            yield job, item
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
