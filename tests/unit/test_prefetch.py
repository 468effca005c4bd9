"""Prefetching keeps the order, bounds the waiting items, passes on errors, and ends its thread."""

import threading
from collections.abc import Iterator

import pytest

from tasks.engine.prefetch import prefetched


def prefetch_threads() -> int:
    return sum(thread.name == "prefetch" for thread in threading.enumerate())


def test_items_come_in_their_order() -> None:
    with prefetched(iter(range(100)), 3) as items:
        assert list(items) == list(range(100))
    assert prefetch_threads() == 0


def test_empty_iterator_has_no_items() -> None:
    with prefetched(iter(()), 1) as items:
        assert list(items) == []


def test_error_is_raised_after_the_preceding_items() -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise LookupError("broken")

    with prefetched(failing(), 2) as items:
        assert next(items) == 1
        with pytest.raises(LookupError, match="broken"):
            next(items)
    assert prefetch_threads() == 0


def test_number_of_waiting_items_is_bounded_by_the_depth() -> None:
    made: list[int] = []
    third = threading.Event()

    def counting() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            if number == 2:
                third.set()
            yield number

    with prefetched(counting(), 2):
        assert third.wait(10)
    assert made == [0, 1, 2]  # two wait, one is being put


def test_leaving_early_ends_the_thread_and_the_source_continues_at_its_position() -> None:
    source = iter(range(10))
    with prefetched(source, 1) as items:
        assert next(items) == 0
    assert prefetch_threads() == 0
    assert next(source) in {2, 3}
