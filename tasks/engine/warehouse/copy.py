"""COPY FROM STDIN: copies rows into a table in binary format."""

import struct
from collections.abc import Callable, Iterator
from datetime import date

from psycopg import sql

from tasks.contracts import LINE_NUMBER, Contract
from tasks.engine.errors import BalanceError
from tasks.engine.formats.rows import RowEncoder, Rows
from tasks.engine.prefetch import prefetched
from tasks.engine.warehouse.partitions import Target
from tasks.engine.warehouse.tables import Connection, table_name

PIECES_AHEAD, BYTES_AHEAD = 4, 8 << 20
"""Maximum number and maximum total size of the encoded batches that wait for Postgres. A larger batch waits alone."""

_EPOCH = date(2000, 1, 1)

HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
"""Header of a binary COPY: signature, no flags, no extension."""

TAIL = b"\xff\xff"
"""Trailer of a binary COPY: a row with -1 columns."""


class CopyEncoder(RowEncoder):
    """Encodes the rows of one load for COPY.

    Args:
        contract: The contract of the rows.
        target: The target table of the load.
    """

    def __init__(self, contract: Contract, target: Target) -> None:
        shared = [_binary(value) for value in target.shared.values()]
        super().__init__(contract, shared, has_lines=contract.line_numbers)
        self.target = target
        lines = [LINE_NUMBER] if contract.line_numbers else []
        self._columns = [*target.shared, *lines, *(column.name for column in contract.columns)]

    def statement(self) -> sql.Composed:
        """Return the COPY statement.

        Rows of a new table are frozen. Otherwise the first reader after the load would set hint bits, which may write
        every page of the table to the WAL again.
        """
        names = sql.SQL(", ").join(map(sql.Identifier, self._columns))
        frozen = sql.SQL(", FREEZE") if self.target.is_new else sql.SQL("")
        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary{})")
        return statement.format(table_name(self.target.table), names, frozen)


def _binary(value: date | int) -> bytes:
    """Return the binary form of a `date` or a `bigint`."""
    return struct.pack("!i", (value - _EPOCH).days) if isinstance(value, date) else struct.pack("!q", value)


def copy_in(connection: Connection, encoder: CopyEncoder, rows: Iterator[Rows], on_rows: Callable[[int], None]) -> None:
    """Copy rows into their table. A thread encodes the next rows while Postgres receives the current rows.

    Args:
        connection: A connection in a transaction.
        encoder: The encoder of the rows.
        rows: The encoded batches, which are produced in that thread.
        on_rows: Called with the number of rows after they were sent.

    Raises:
        BalanceError: Postgres stored a different number of rows than it received.
    """
    sent = 0
    with connection.cursor() as cursor:
        with prefetched(rows, PIECES_AHEAD, _size_of, BYTES_AHEAD) as pieces, cursor.copy(encoder.statement()) as copy:
            copy.write(HEAD)
            for piece in pieces:
                copy.write(memoryview(piece.data))  # psycopg slices the data; slices of a view need no copy
                sent += piece.count
                on_rows(piece.count)
                del piece  # frees the memory during the wait for the next batch
            copy.write(TAIL)
        if cursor.rowcount != sent:
            raise BalanceError(
                f"{encoder.target.table}: expected Postgres to store {sent:,} rows, found {cursor.rowcount:,}. Nothing"
                " was committed. Check the table for triggers and rules"
            )


def _size_of(rows: Rows) -> int:
    return len(rows.data)
