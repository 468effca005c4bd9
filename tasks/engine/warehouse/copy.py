"""COPY: typed rows into a table, in Postgres' binary format, and queries out of it as CSV."""

import struct
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Any

from psycopg import ClientCursor, sql
from psycopg.sql import Composable

from tasks.contracts import Contract
from tasks.engine.errors import BalanceError
from tasks.engine.formats.rows import RowEncoder, Rows
from tasks.engine.prefetch import prefetched
from tasks.engine.warehouse.partitions import Target
from tasks.engine.warehouse.tables import Connection, table_name

PIECES_AHEAD, BYTES_AHEAD = 4, 8 << 20
"""Pieces of rows that wait to be sent: no more than this, and no more bytes than this unless one piece has more."""

_EPOCH = date(2000, 1, 1)

BLOCK_BYTES = 1 << 20
"""Rows that come out of Postgres one by one are put together to blocks of this size."""

HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
"""How a binary COPY begins: signature, no flags, no header extension."""

TAIL = b"\xff\xff"
"""How it ends: a row of -1 columns."""


class CopyEncoder(RowEncoder):
    """Makes the rows of one load for COPY.

    Args:
        contract: Whose columns the rows have.
        target: Where they go.
    """

    def __init__(self, contract: Contract, target: Target) -> None:
        super().__init__(contract, [_binary(value) for value in target.shared.values()])
        self.target = target
        self._columns = [*target.shared, *(column.name for column in contract.columns)]

    def statement(self) -> sql.Composed:
        """The COPY.

        Rows of a new table are frozen: no reader writes to them, where the first one after a load would otherwise log
        all of the table's pages anew, to note which rows are there to stay.
        """
        names = sql.SQL(", ").join(map(sql.Identifier, self._columns))
        frozen = sql.SQL(", FREEZE") if self.target.is_new else sql.SQL("")
        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary{})")
        return statement.format(table_name(self.target.table), names, frozen)


def _binary(value: date | int) -> bytes:
    """A `date` or a `bigint`."""
    return struct.pack("!i", (value - _EPOCH).days) if isinstance(value, date) else struct.pack("!q", value)


def copy_in(connection: Connection, encoder: CopyEncoder, rows: Iterator[Rows], on_rows: Callable[[int], None]) -> None:
    """COPY rows into their table; the next ones are made while Postgres takes the ones before.

    Args:
        connection: In a transaction.
        encoder: Of the rows.
        rows: Made in a thread of their own.
        on_rows: Told how many rows were sent, as they are.

    Raises:
        BalanceError: Postgres took another number of rows than it was sent.
    """
    sent = 0
    with connection.cursor() as cursor:
        with prefetched(rows, PIECES_AHEAD, _size_of, BYTES_AHEAD) as pieces, cursor.copy(encoder.statement()) as copy:
            copy.write(HEAD)
            for piece in pieces:
                copy.write(memoryview(piece.data))  # it is sent in parts, each of which would be a copy
                sent += piece.count
                on_rows(piece.count)
                del piece  # while the next one is waited for
            copy.write(TAIL)
        if cursor.rowcount != sent:
            raise BalanceError(
                f"{encoder.target.table}: sent {sent:,} rows, Postgres took {cursor.rowcount:,}; nothing was committed"
            )


def _size_of(rows: Rows) -> int:
    return len(rows.data)


class CopyOut:
    """Rows of a query as blocks of CSV with a header: null bare, an empty string quoted.

    Args:
        connection: To the warehouse.
        query: Whose rows.
        parameters: Merged into the query by the client, for COPY takes none.
    """

    def __init__(self, connection: Connection, query: Composable, parameters: Mapping[str, Any]) -> None:
        self._connection, self._parameters = connection, parameters
        self._statement = sql.SQL("COPY (\n{}\n) TO STDOUT (FORMAT csv, HEADER)").format(query)
        self.row_count = 0

    def __iter__(self) -> Iterator[bytes]:
        """Run the query; `row_count` stands at the end."""
        with ClientCursor(self._connection) as cursor:
            with cursor.copy(self._statement, self._parameters or None) as copy:
                block = bytearray()
                for row in copy:
                    block += row
                    if len(block) >= BLOCK_BYTES:
                        yield bytes(block)
                        block.clear()
                yield bytes(block)
            self.row_count = cursor.rowcount
