"""Prefetching: the next items of an iterator are made in a thread while the present one is used."""

import queue
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class _End:
    """What the thread puts last: nothing went wrong, or this did."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class _Prefetch(Generic[T]):
    def __init__(self, items: Iterator[T], depth: int) -> None:
        self._items = items
        self._ready: queue.Queue[T | _End] = queue.Queue(depth)
        self._is_wanted = True
        self._thread = threading.Thread(target=self._make, name="prefetch", daemon=True)
        self._thread.start()

    def _make(self) -> None:
        try:
            for item in self._items:
                self._put(item)
                del item  # before the next one is made
                if not self._is_wanted:
                    return
            self._put(_End())
        except BaseException as error:
            self._put(_End(error))

    def _put(self, item: T | _End) -> None:
        while self._is_wanted:
            try:
                return self._ready.put(item, timeout=0.1)
            except queue.Full:
                continue
        return None

    def __iter__(self) -> Iterator[T]:
        while not isinstance(item := self._ready.get(), _End):
            yield item
        if item.error:
            raise item.error

    def close(self) -> None:
        self._is_wanted = False
        self._thread.join()


@contextmanager
def prefetched(items: Iterator[T], depth: int) -> Iterator[Iterator[T]]:
    """Make items ahead of their use, at most `depth` of them, in a thread that ends with the block.

    Args:
        items: Used by that thread alone while the block lasts.
        depth: Bounds the memory that waiting items take.
    """
    with closing(_Prefetch(items, depth)) as ahead:
        yield iter(ahead)
