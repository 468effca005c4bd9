"""Convert a CSV object of the lake to Parquet, row group by row group, in the types of its contract.

The conversion loses no value. If a column holds a value that is invalid for its type, or an empty string that the type
does not allow, the whole column stays text. Then the load rejects exactly the rows with such values, and keeps them.
"""

import io
import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.contracts import Column, Contract
from tasks.engine.errors import BalanceError, ContractError
from tasks.engine.formats.arrow_columns import arrays_of
from tasks.engine.formats.batches import Batch
from tasks.engine.formats.reader import read_batches
from tasks.engine.formats.rows import RowEncoder
from tasks.engine.formats.string_columns import StringColumns
from tasks.engine.lake.client import Lake
from tasks.engine.receipts import ObjectRef

_BOOLEANS = pa.array(["f", "t"], pa.large_string())
"""Booleans in the output of COPY, in the order of their values."""

_TYPED = re.compile(r"boolean|integer|bigint|numeric\(.*|timestamp\(3\)")
"""Types of columns that get a type in Parquet."""

GROUP_BYTES = 8 << 20
"""Size from which rows in memory are written as a row group. Each row group costs the load a request."""


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
        self._lake, self._source, self._contract, self._row_count = lake, source, contract, row_count
        # Columns of other types stay text, which loses nothing.
        # Date columns always stay text: the source may hold any text in them, so their type would differ between files.
        self._typed = {
            column.source_name: column
            for column in contract.columns
            if column.source_name not in as_text and _TYPED.fullmatch(column.type.postgres)
        }
        # `_booleans` checks booleans, because the contract also accepts spellings that COPY never writes.
        self._checks = {
            name: RowEncoder(replace(contract, columns=(replace(column, nullable=True),)))
            for name, column in self._typed.items()
            if column.type.postgres != "boolean"
        }

    def __iter__(self) -> Iterator[bytes]:
        """Read the object and write row groups.

        Raises:
            MisfitError: A column must stay text.
            BalanceError: The object does not hold the expected rows.
        """
        sink, writer, found = io.BytesIO(), None, 0
        with self._lake.open(self._source, lambda _: None) as file:
            for rows in self._groups(file):
                writer = writer or self._writer(sink, rows.schema)
                writer.write_table(rows)
                found += len(rows)
                yield _taken(sink)
        if writer is None or found != self._row_count:
            raise BalanceError(
                f"{self._source.uri}: expected the {self._row_count:,} exported rows, found {found:,}."
                " Another program changed the object: run again with give_up and the number of the run"
            )
        writer.close()
        yield _taken(sink)

    def _groups(self, file: io.BufferedReader) -> Iterator[pa.Table]:
        """Read the rows in groups of at least `GROUP_BYTES`; the last group may be smaller."""
        batches: list[pa.RecordBatch] = []
        size = 0
        for batch in read_batches(file, self._source.uri, self._contract):
            self._refuse_damaged(batch)
            batches.append(self._with_types(batch.strings))
            size += batches[-1].nbytes
            if size >= GROUP_BYTES:
                yield pa.Table.from_batches(batches)
                batches, size = [], 0
        if batches:
            yield pa.Table.from_batches(batches)

    def _writer(self, sink: io.BytesIO, schema: pa.Schema) -> pq.ParquetWriter:
        # Most values of typed columns occur once. A dictionary of these values takes twice the time and more space.
        texts: Any = [name for name in schema.names if name not in self._typed]
        return pq.ParquetWriter(sink, schema, compression="zstd", use_dictionary=texts, write_page_checksum=True)

    def _with_types(self, strings: StringColumns) -> pa.RecordBatch:
        """Convert texts to their types. A text that the contract rejects is invalid, even if Arrow accepts it."""
        misfits = {name for name, check in self._checks.items() if check.invalid_rows(strings.select([name]))}
        arrays = []
        for name, texts in zip(strings.names, arrays_of(strings), strict=True):
            try:
                arrays.append(_values(texts, self._typed[name]) if name in self._typed else texts)
            except pa.ArrowInvalid:
                misfits.add(name)
        if misfits:
            raise MisfitError(misfits)
        return pa.RecordBatch.from_arrays(arrays, names=list(strings.names))

    def _refuse_damaged(self, batch: Batch) -> None:
        if batch.rejected:
            first = batch.rejected[0]
            raise BalanceError(
                f"{self._source.uri}: expected the records that Postgres wrote, found in line {first.line_number:,}:"
                f" {first.reason}. Another program changed the object: run again with give_up and the number of the run"
            )


def _values(texts: Any, column: Column) -> Any:
    """Convert texts to values of a column's type.

    Raises:
        pyarrow.ArrowInvalid: A text is invalid.
    """
    match column.type.postgres.partition("(")[0]:
        case "boolean":
            return _booleans(texts)
        case "integer":
            return texts.cast(pa.int32())
        case "bigint":
            return texts.cast(pa.int64())
        case "numeric":
            precision, scale = map(int, re.findall("[0-9]+", column.type.postgres))
            return texts.cast(pa.decimal128(precision, scale))
        case "timestamp":
            return texts.cast(pa.timestamp("ms"))
        case other:
            raise ContractError(f"column {column.name}: the Parquet writer does not support type {other}")


def _booleans(texts: Any) -> Any:
    places = pc.index_in(texts, _BOOLEANS)
    if places.null_count != texts.null_count:
        raise pa.ArrowInvalid("expected t or f")
    return places.cast(pa.bool_())


def _taken(sink: io.BytesIO) -> bytes:
    """Return the bytes written since the last call, and empty the buffer; the writer tracks its position itself."""
    block = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return block
