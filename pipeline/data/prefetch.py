"""Bounded read-ahead in one background thread."""

import threading
from collections import deque
from collections.abc import Generator, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class _Buffer(Generic[T]):
    """Up to `depth` items between one producer and one consumer."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._ended = self._closed = False
        self._error: BaseException | None = None

    def fill(self, items: Iterable[T]) -> None:
        """Producer: take from `items` until they end, fail, or the consumer has closed."""
        try:
            for item in items:
                if not self._put(item):
                    break
        except BaseException as error:  # raised again where the items are consumed
            self._error = error
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _put(self, item: T) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._items) < self._depth)
            self._items.append(item)
            self._changed.notify_all()
            return not self._closed

    def take(self) -> Generator[T, None, None]:
        """Consumer: items in order; raises what the producer raised, after the items before it."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._ended)
                if not self._items:
                    break
                item = self._items.popleft()
                self._changed.notify_all()
            yield item
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Consumer: wants no more items."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def prefetch(items: Iterable[T], *, depth: int) -> Generator[T, None, None]:
    """Yield `items`, read up to `depth` ahead by a thread that starts with the first item.

    Exceptions of `items` are raised here. Closing the generator (or leaving the loop) ends the thread.
    """
    if depth < 1:
        raise ValueError(f"depth must be at least 1, got {depth}")
    buffer: _Buffer[T] = _Buffer(depth)
    thread = threading.Thread(target=buffer.fill, args=(items,), name="prefetch", daemon=True)
    thread.start()
    try:
        yield from buffer.take()
    finally:
        buffer.close()
        thread.join()
