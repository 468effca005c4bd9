"""COPY: typed rows into a table, in Postgres' binary format, and queries out of it as CSV."""

import datetime
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import polars as pl
import pyarrow as pa
from pgpq import ArrowToPostgresBinaryEncoder
from psycopg import ClientCursor, sql
from psycopg.sql import Composable

from tasks.contracts import Contract
from tasks.engine.errors import BalanceError
from tasks.engine.prefetch import prefetched
from tasks.engine.warehouse import Connection, table_name

PIECES_AHEAD = 2
BLOCK_BYTES = 1 << 20
"""Rows that come out of Postgres one by one are put together to blocks of this size."""

_NO_ROWS = b"PGCOPY\n\xff\r\n\0" + bytes(8) + b"\xff\xff"
"""A binary COPY of no rows: signature, no flags, no header extension, trailer."""


class CopyEncoder:
    """Encodes the rows of one load for COPY.

    Args:
        contract: Whose columns the rows have.
        partition: Value of the partition's column, if there is one.
        load_id: Written to every row.
    """

    def __init__(self, contract: Contract, partition: datetime.date | None, load_id: int) -> None:
        self._types = {column.name: column.type for column in contract.columns}
        self._constants: dict[str, pl.Series] = {}
        if contract.partition:
            self._constants[contract.partition.column] = pl.Series([partition], dtype=pl.Date)
        self._constants["load_id"] = pl.Series([load_id], dtype=pl.Int64)

    def statement(self, table: str) -> sql.Composed:
        """The COPY into a table."""
        return sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(
            table_name(table), sql.SQL(", ").join(map(sql.Identifier, [*self._constants, *self._types]))
        )

    def encode(self, frames: Iterator[pl.DataFrame]) -> Iterator[tuple[int, bytes]]:
        """The bytes of a binary COPY, with how many rows each piece holds."""
        binary: ArrowToPostgresBinaryEncoder | None = None
        for batch in map(self._arrow, frames):
            if binary is None:
                binary = ArrowToPostgresBinaryEncoder(batch.schema)
                yield 0, binary.write_header()
            count, piece = batch.num_rows, binary.write_batch(batch)
            del batch  # before the next one is made
            yield count, piece
            del piece
        yield 0, binary.finish() if binary else _NO_ROWS

    def _arrow(self, rows: pl.DataFrame) -> pa.RecordBatch:
        """Rows in their types' wire forms."""
        arrays = {name: value.new_from_index(0, len(rows)).to_arrow() for name, value in self._constants.items()}
        arrays |= {name: type_.to_arrow(rows[name]) for name, type_ in self._types.items()}
        return pa.RecordBatch.from_pydict(arrays)


def copy_in(
    connection: Connection,
    table: str,
    encoder: CopyEncoder,
    frames: Iterator[pl.DataFrame],
    on_rows: Callable[[int], None],
) -> None:
    """COPY frames into a table, one after the other; the next ones are made and encoded while Postgres takes one.

    Args:
        connection: In a transaction.
        table: Its columns are the encoder's.
        encoder: Of the frames.
        frames: Made in a thread of their own.
        on_rows: Told how many rows were sent, as they are.

    Raises:
        BalanceError: Postgres took another number of rows than it was sent.
    """
    sent = 0
    with connection.cursor() as cursor:
        with prefetched(encoder.encode(frames), PIECES_AHEAD) as pieces, cursor.copy(encoder.statement(table)) as copy:
            for count, piece in pieces:
                copy.write(piece)
                sent += count
                on_rows(count)
        if cursor.rowcount != sent:
            raise BalanceError(f"{table}: sent {sent:,} rows, Postgres took {cursor.rowcount:,}; nothing was committed")


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
