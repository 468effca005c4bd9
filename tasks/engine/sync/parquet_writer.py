"""CSV to parquet: an object of the lake, row group by row group, in the types of its contract.

Nothing is lost on the way, not even what is no value of its type: a column that holds such a value, or an empty string
where the type has none, stays text as a whole, so that the load, which keeps rejected rows, rejects exactly that row.
"""

import io
import re
from collections.abc import Collection, Iterator
from dataclasses import replace

import polars as pl
import pyarrow.parquet as pq

from tasks.contracts import Column, Contract
from tasks.engine.errors import BalanceError, ContractError
from tasks.engine.formats.batches import Batch
from tasks.engine.formats.frames import frame_of, string_columns_of
from tasks.engine.formats.reader import read_batches
from tasks.engine.formats.rows import RowEncoder
from tasks.engine.lake.client import Lake
from tasks.engine.receipts import ObjectRef

_BOOLEANS = {"t": "true", "f": "false"}
"""How COPY spells truth, and how a contract does."""


class MisfitError(Exception):
    """Columns hold what is none of their type: they are to stay text."""

    def __init__(self, columns: Collection[str]) -> None:
        super().__init__(f"not of their types: {', '.join(columns)}")
        self.columns = frozenset(columns)


class ParquetBlocks:
    """The blocks of a parquet file with the rows of a CSV object.

    Args:
        lake: Where the object is.
        source: The object.
        contract: Of its columns.
        row_count: How many rows it must have.
        as_text: Columns that stay text.
    """

    def __init__(
        self, lake: Lake, source: ObjectRef, contract: Contract, row_count: int, as_text: Collection[str] = ()
    ) -> None:
        self._lake, self._source, self._contract = lake, source, contract
        self._row_count, self._as_text = row_count, as_text
        # Days stay text in all files, which may hold anything: the files of one table have one schema.
        self._columns = [
            column
            for column in contract.columns
            if column.source_name not in as_text and column.type.postgres not in ("date", "text")
        ]
        self._checks = {
            column.name: RowEncoder(replace(contract, columns=(replace(column, nullable=True),)))
            for column in self._columns
        }

    def __iter__(self) -> Iterator[bytes]:
        """Read the object and write row groups.

        Raises:
            MisfitError: A column has to stay text.
            BalanceError: The object does not hold the rows that it must.
        """
        sink, writer, found = io.BytesIO(), None, 0
        with self._lake.open(self._source, lambda _: None) as file:
            for batch in read_batches(file, self._source.uri, self._contract):
                self._refuse_damaged(batch)
                rows = self._typed(frame_of(batch.strings)).to_arrow()
                writer = writer or pq.ParquetWriter(sink, rows.schema, compression="zstd", write_page_checksum=True)
                writer.write_table(rows)
                found += len(rows)
                yield _taken(sink)
        if writer is None or found != self._row_count:
            raise BalanceError(
                f"{self._source.uri}: expected the {self._row_count:,} rows that were exported, found {found:,}."
                " Somebody else wrote there: extract everything anew (full)"
            )
        writer.close()
        yield _taken(sink)

    def _typed(self, given: pl.DataFrame) -> pl.DataFrame:
        """Values in their types; a text that the contract has no value for is none here, however polars reads it."""
        given = given.with_columns(
            pl.col(column.source_name).replace(_BOOLEANS)
            for column in self._columns
            if column.type.postgres == "boolean"
        )
        typed = given.with_columns(_value(column) for column in self._columns)
        misfits = {
            column.source_name
            for column in self._columns
            if (typed[column.source_name].is_null() & given[column.source_name].is_not_null()).any()
            or self._checks[column.name].invalid_rows(string_columns_of(given.select(column.source_name)))
        }
        if misfits:
            raise MisfitError(misfits)
        return typed

    def _refuse_damaged(self, batch: Batch) -> None:
        if batch.rejected:
            first = batch.rejected[0]
            raise BalanceError(
                f"{self._source.uri}: expected the records that Postgres wrote, found in line {first.line_number:,}:"
                f" {first.reason}. Somebody else wrote there: extract everything anew (full)"
            )


def _value(column: Column) -> pl.Expr:
    given = pl.col(column.source_name)
    match column.type.postgres.partition("(")[0]:
        case "boolean":
            return given.replace_strict({"true": True, "false": False}, default=None, return_dtype=pl.Boolean)
        case "integer":
            return given.cast(pl.Int32, strict=False)
        case "bigint":
            return given.cast(pl.Int64, strict=False)
        case "numeric":
            precision, scale = map(int, re.findall("[0-9]+", column.type.postgres))
            return given.cast(pl.Decimal(precision, scale), strict=False)
        case "timestamp":
            iso = given.str.replace(" ", "T", literal=True)
            return iso.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="ms", strict=False)
        case other:
            raise ContractError(f"column {column.name}: {other} is no type that parquet is written in")


def _taken(sink: io.BytesIO) -> bytes:
    """What was written since the last time; the writer keeps count of its position by itself."""
    block = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return block
