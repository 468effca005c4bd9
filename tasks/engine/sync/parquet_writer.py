"""Convert a CSV object of the lake to Parquet, row group by row group, in the types of its contract.

The conversion loses no value. If a column holds a value that is invalid for its type, or an empty string that the type
does not allow, the whole column stays text. Then the load rejects exactly the rows with such values, and keeps them.
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
"""Booleans in the output of COPY, and in a contract."""


_TYPED = re.compile(r"boolean|integer|bigint|numeric\(.*|timestamp\(3\)")
"""Types of columns that get a type in Parquet."""


class MisfitError(Exception):
    """Columns hold values that are invalid for their types, so the columns must stay text."""

    def __init__(self, columns: Collection[str]) -> None:
        super().__init__(f"values invalid for the types of columns: {', '.join(columns)}")
        self.columns = frozenset(columns)


class ParquetBlocks:
    """The blocks of a Parquet file with the rows of a CSV object.

    Args:
        lake: Lake of the object.
        source: The CSV object.
        contract: Contract of the columns.
        row_count: Expected number of rows.
        as_text: Columns that stay text.
    """

    def __init__(
        self, lake: Lake, source: ObjectRef, contract: Contract, row_count: int, as_text: Collection[str] = ()
    ) -> None:
        self._lake, self._source, self._contract = lake, source, contract
        self._row_count, self._as_text = row_count, as_text
        # Columns of other types stay text, which loses nothing.
        # Date columns stay text in all files, because they may hold any text and all files of a table have one schema.
        self._columns = [
            column
            for column in contract.columns
            if column.source_name not in as_text and _TYPED.fullmatch(column.type.postgres)
        ]
        self._checks = {
            column.name: RowEncoder(replace(contract, columns=(replace(column, nullable=True),)))
            for column in self._columns
        }

    def __iter__(self) -> Iterator[bytes]:
        """Read the object and write row groups.

        Raises:
            MisfitError: A column must stay text.
            BalanceError: The object does not hold the expected rows.
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
                f"{self._source.uri}: expected the {self._row_count:,} exported rows, found {found:,}."
                " Another program changed the object: run again with full, to extract all rows"
            )
        writer.close()
        yield _taken(sink)

    def _typed(self, given: pl.DataFrame) -> pl.DataFrame:
        """Convert texts to their types. A text that the contract rejects is invalid, even if polars accepts it."""
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
                f" {first.reason}. Another program changed the object: run again with full, to extract all rows"
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
            raise ContractError(f"column {column.name}: the Parquet writer does not support type {other}")


def _taken(sink: io.BytesIO) -> bytes:
    """Take the bytes written after the last call; the writer tracks its position itself."""
    block = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return block
