"""Read-ahead: order, bounds, exceptions, end."""

import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.read_ahead import read_ahead

PATIENCE_S = 30


def ahead_of(read: Callable[[int], int], count: int, *, readers: int = 2, max_bytes: int = 50, size: int = 10):
    return read_ahead(range(count), read, readers=readers, max_bytes=max_bytes, size=lambda _: size)


@given(readers=st.integers(1, 5), max_bytes=st.integers(0, 200), count=st.integers(0, 30))
def test_items_come_in_order_with_their_jobs(readers: int, max_bytes: int, count: int) -> None:
    found = list(ahead_of(lambda number: number * number, count, readers=readers, max_bytes=max_bytes))

    assert found == [(number, number * number) for number in range(count)]


def test_a_slow_item_does_not_overtake() -> None:
    second = threading.Event()

    def read(number: int) -> int:
        if number == 1:
            assert second.wait(PATIENCE_S)
        if number == 2:
            second.set()
        return number

    assert [item for _, item in ahead_of(read, 4)] == [0, 1, 2, 3]


@pytest.mark.parametrize(("max_bytes", "size", "ahead"), [(50, 10, 5), (1000, 10, 8), (10, 99, 1)])
@pytest.mark.fault("P14")
def test_it_reads_as_far_ahead_as_the_bytes_and_the_count_allow(max_bytes: int, size: int, ahead: int) -> None:
    started: list[int] = []
    reached = threading.Semaphore(0)

    def read(number: int) -> int:
        started.append(number)
        reached.release()
        return number

    items = ahead_of(read, 100, max_bytes=max_bytes, size=size)
    for taken in range(1, 4):
        assert next(items) == (taken - 1, taken - 1)
        while len(started) < taken + ahead:
            assert reached.acquire(timeout=PATIENCE_S)
    items.close()

    assert sorted(started) == list(range(3 + ahead))


def test_an_exception_comes_in_the_place_of_its_item() -> None:
    def read(number: int) -> int:
        if number == 2:
            raise ZeroDivisionError("third")
        return number

    items = ahead_of(read, 10, readers=3)

    assert [next(items), next(items)] == [(0, 0), (1, 1)]
    with pytest.raises(ZeroDivisionError, match="third"):
        next(items)


def test_closing_ends_the_threads_and_drops_what_has_not_begun() -> None:
    before = threading.active_count()
    began: list[int] = []
    items = ahead_of(lambda number: began.append(number) or number, 1000)
    assert next(items) == (0, 0)
    items.close()

    assert threading.active_count() == before
    assert len(began) <= 1 + 5


def test_reading_never_happens_on_the_consumers_thread() -> None:
    readers = {thread for _, thread in read_ahead(range(20), lambda _: threading.get_ident(), readers=2, max_bytes=9,
                                                  size=lambda _: 1)}  # fmt: skip

    assert threading.get_ident() not in readers


def test_no_readers_are_refused() -> None:
    with pytest.raises(ValueError, match="readers"):
        next(ahead_of(abs, 1, readers=0))
