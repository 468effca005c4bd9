"""Prefetching: a thread produces the next items of an iterator while the caller uses the current item."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class _End:
    """Marks the end of the items, with the error that ended them, if any."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class _Prefetch(Generic[T]):
    def __init__(self, items: Iterator[T], depth: int, size_of: Callable[[T], int], most_bytes: int) -> None:
        self._items, self._depth = items, depth
        self._size_of, self._most_bytes = size_of, most_bytes
        self._ready: deque[tuple[T | _End, int]] = deque()
        self._bytes = 0
        self._is_wanted = True
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._make, name="prefetch", daemon=True)
        self._thread.start()

    def _make(self) -> None:
        try:
            for item in self._items:
                self._put(item, self._size_of(item))
                del item  # frees the memory before the next item is produced
                if not self._is_wanted:
                    return
            self._put(_End(), 0)
        except BaseException as error:
            self._put(_End(error), 0)

    def _has_room(self, size: int) -> bool:
        is_within = len(self._ready) < self._depth and self._bytes + size <= self._most_bytes
        return is_within or not self._ready or not self._is_wanted

    def _put(self, item: T | _End, size: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._has_room(size))
            self._ready.append((item, size))
            self._bytes += size
            self._changed.notify_all()

    def _take(self) -> T | _End:
        with self._changed:
            self._changed.wait_for(lambda: self._ready)
            item, size = self._ready.popleft()
            self._bytes -= size
            self._changed.notify_all()
            return item

    def __iter__(self) -> Iterator[T]:
        while not isinstance(item := self._take(), _End):
            yield item
            del item  # frees the memory during the wait for the next item
        if item.error:
            raise item.error

    def close(self) -> None:
        with self._changed:
            self._is_wanted = False
            self._changed.notify_all()
        self._thread.join()


def _no_size(_: object) -> int:
    return 0


@contextmanager
def prefetched(
    items: Iterator[T], depth: int, size_of: Callable[[T], int] = _no_size, most_bytes: int = 0
) -> Iterator[Iterator[T]]:
    """Produce items in advance, in a thread that ends with the block.

    Args:
        items: The iterator. Only the thread may use it inside the block.
        depth: Maximum number of waiting items.
        size_of: Returns the size of an item in bytes.
        most_bytes: Maximum total size of the waiting items. A larger item waits alone.
    """
    with closing(_Prefetch(items, depth, size_of, most_bytes)) as ahead:
        yield iter(ahead)
