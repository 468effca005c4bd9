"""COPY TO STDOUT: the result of a query as blocks of CSV.

psycopg yields each row as a Python object, which takes six times the CPU time of libpq. Here, C code calls libpq on
psycopg's connection and fills whole blocks. Other threads run meanwhile.
"""

import ctypes
import functools
import sys
from collections.abc import Iterator, Mapping
from typing import Any, cast

import psycopg
from psycopg import ClientCursor, generators, pq, sql
from psycopg.pq.misc import find_libpq_full_path
from psycopg.sql import Composable

from tasks.engine.formats.native import binding
from tasks.engine.warehouse.sessions import Connection

BLOCK_BYTES = 1 << 20
"""Maximum size of a block. Only the last block of a result is smaller."""


class CopyOut:
    """The result of a query as blocks of CSV with a header. Null is an empty field, an empty string is quoted.

    Args:
        connection: To the database.
        query: The query.
        parameters: Values for the query. The client inserts them, because COPY does not accept parameters.
    """

    def __init__(self, connection: Connection, query: Composable, parameters: Mapping[str, Any] | None = None) -> None:
        self._connection, self._parameters = connection, parameters
        self._statement = sql.SQL("COPY (\n{}\n) TO STDOUT (FORMAT csv, HEADER)").format(query)
        self.row_count = 0

    def __iter__(self) -> Iterator[bytes]:
        """Run the query and yield its blocks. `row_count` is set after the last block.

        A caller that stops early must close the iterator, which cancels the query.
        """
        # The block of psycopg cancels the query if an error or the end of the iterator leaves it.
        with ClientCursor(self._connection) as cursor, cursor.copy(self._statement, self._parameters or None):
            yield from _blocks(self._connection)
            self.row_count = _count_rows(self._connection)


def _blocks(connection: Connection) -> Iterator[bytes]:
    copy = binding.CopyOut(cast("Any", connection.pgconn).pgconn_ptr, *_functions())
    block = ctypes.create_string_buffer(BLOCK_BYTES)
    state = ctypes.c_int32(binding.COPY_GOING)
    try:
        while state.value == binding.COPY_GOING:
            filled = 0
            # Each call returns after a tenth of a second without rows, so that Python handles signals.
            while state.value == binding.COPY_GOING and filled < BLOCK_BYTES:
                place = ctypes.byref(block, filled)
                filled += binding.library.copy_out_read(copy, place, BLOCK_BYTES - filled, state)
            if filled:
                yield ctypes.string_at(block, filled)
    finally:
        binding.library.copy_out_free(copy)
    if state.value == binding.COPY_FAILED:
        raise psycopg.OperationalError(f"receiving rows failed: {connection.pgconn.get_error_message()}")


def _count_rows(connection: Connection) -> int:
    """Receive the result of a COPY after its last row, and return the number of rows."""
    (result,) = connection.wait(generators.fetch_many(connection.pgconn))
    if result.status != pq.ExecStatus.COMMAND_OK:
        raise psycopg.errors.error_from_result(result)
    return result.command_tuples or 0


@functools.cache
def _functions() -> tuple[int | None, ...]:
    """Return the addresses of the functions that `CopyOut` in `native.h` names, in the libpq that psycopg uses."""
    extension = sys.modules[pq.PGconn.__module__].__file__
    # A search for a function in an extension module includes the libpq that the module is linked to.
    libpq = ctypes.CDLL(find_libpq_full_path() if pq.__impl__ == "python" else extension)
    names = ("PQgetCopyData", "PQconsumeInput", "PQsocket", "PQfreemem")
    return tuple(ctypes.cast(getattr(libpq, name), ctypes.c_void_p).value for name in names)
