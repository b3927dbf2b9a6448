"""Read-ahead: order, bound, exceptions, end."""

import threading
from collections.abc import Iterator

import pytest

from pipeline.data.prefetch import prefetch


@pytest.mark.parametrize("depth", [1, 2, 50])
def test_items_come_in_order(depth: int) -> None:
    assert list(prefetch(iter(range(20)), depth=depth)) == list(range(20))


def test_it_reads_ahead_but_not_further_than_the_bound() -> None:
    produced: list[int] = []
    reached = threading.Event()

    def source() -> Iterator[int]:
        for number in range(100):
            produced.append(number)
            if number == 4:  # first taken, three in the buffer, one in hand
                reached.set()
            yield number

    items = prefetch(source(), depth=3)
    assert next(items) == 0

    assert reached.wait(timeout=10)
    items.close()
    assert produced == [0, 1, 2, 3, 4]


def test_an_exception_comes_after_the_items_before_it() -> None:
    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise ZeroDivisionError("third")

    items = prefetch(source(), depth=5)

    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(ZeroDivisionError, match="third"):
        next(items)


def test_closing_ends_the_thread_and_the_source() -> None:
    closed = threading.Event()

    def source() -> Iterator[int]:
        try:
            number = 0
            while True:
                yield number
                number += 1
        finally:
            closed.set()

    before = threading.active_count()
    items = prefetch(source(), depth=2)
    assert next(items) == 0
    items.close()

    assert closed.is_set()
    assert threading.active_count() == before


def test_a_depth_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="depth"):
        next(prefetch([1], depth=0))
