"""CSV to parquet: an object of the lake, row group by row group, in the types of its contract.

Nothing is lost on the way, not even what is no value of its type: a column that holds such a value, or an empty string
where the type has none, stays text as a whole, so that the load, which keeps rejected rows, rejects exactly that row.
"""

import io
from collections.abc import Collection, Iterator

import polars as pl
import pyarrow.parquet as pq

from tasks.contracts import Contract
from tasks.contracts.types import ColumnType
from tasks.engine.batches import Batch
from tasks.engine.errors import BalanceError
from tasks.engine.lake import Lake
from tasks.engine.reader import read_batches
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
                rows = self._typed(batch.frame).to_arrow()
                writer = writer or pq.ParquetWriter(sink, rows.schema, compression="zstd")
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
        types = {column.source_name: column.type for column in self._contract.columns}
        parsed = given.select(
            pl.col(name) if name in self._as_text else _value(name, type_) for name, type_ in types.items()
        )
        misfits = [name for name in types if (parsed[name].is_null() & given[name].is_not_null()).any()]
        if misfits:
            raise MisfitError(misfits)
        return parsed

    def _refuse_damaged(self, batch: Batch) -> None:
        if batch.rejected:
            first = batch.rejected[0]
            raise BalanceError(
                f"{self._source.uri}: expected the records that Postgres wrote, found in line {first.line_number:,}:"
                f" {first.reason}. Somebody else wrote there: extract everything anew (full)"
            )


def _value(name: str, type_: ColumnType) -> pl.Expr:
    given = pl.col(name)
    if type_.postgres == "date":
        return given  # text in the source, which may hold anything: files of one table have one schema
    if type_.postgres == "boolean":
        given = given.replace(_BOOLEANS)
    value = type_.parse(given)
    return value.dt.cast_time_unit("ms") if type_.postgres == "timestamp(3)" else value


def _taken(sink: io.BytesIO) -> bytes:
    """What was written since the last time; the writer keeps count of its position by itself."""
    block = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return block
