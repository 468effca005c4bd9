"""JSON groups: consecutive records of an object, parsed by the native code into string columns.

`tasks/engine/formats/native/json.h` describes the grammar.
"""

import ctypes
import weakref
from collections.abc import Sequence

from tasks.contracts import UNKNOWN_KEYS, Contract
from tasks.engine.formats.batches import Batch
from tasks.engine.formats.columns import ColumnMatch
from tasks.engine.formats.csv_records import MAX_RECORD_BYTES
from tasks.engine.formats.encodings import not_text
from tasks.engine.formats.json_paths import MOST_KEYS, RecordPaths
from tasks.engine.formats.json_records import Record
from tasks.engine.formats.line_numbers import LineNumbers
from tasks.engine.formats.native import json_structs
from tasks.engine.formats.native.binding import StringColumn, library
from tasks.engine.formats.native.json_structs import JsonError
from tasks.engine.formats.string_columns import StringColumns
from tasks.engine.rejected_rows import Reason, ReasonCode, RejectedRow

MOST_RECORDS, MOST_BYTES = 16_384, 1 << 20
"""Limits of one group."""

_REASONS = {
    JsonError.NOT_OBJECT: Reason(ReasonCode.NOT_AN_OBJECT, "expected a JSON object"),
    JsonError.DEEP: Reason(ReasonCode.NESTED_TOO_DEEPLY, "JSON nested too deeply"),
    JsonError.MANY_KEYS: Reason(ReasonCode.TOO_MANY_KEYS, f"more than {MOST_KEYS:,} keys"),
}
_SYNTAX = {
    JsonError.TRUNCATED: "Input data was truncated",
    JsonError.CHARACTER: "invalid character",
    JsonError.NUMBER: "invalid number",
    JsonError.ESCAPE: "invalid escape character in string",
    JsonError.UNICODE_ESCAPE: "invalid character in unicode escape",
    JsonError.SURROGATE: "invalid utf-16 surrogate pair",
    JsonError.KEY: "object keys must be strings",
    JsonError.COLON: "expected ':'",
    JsonError.OBJECT_NEXT: "expected ',' or '}'",
    JsonError.ARRAY_NEXT: "expected ',' or ']'",
    JsonError.OBJECT_COMMA: "trailing comma in object",
    JsonError.ARRAY_COMMA: "trailing comma in array",
    JsonError.TRAILING: "trailing characters",
}


class JsonGroup:
    """A group of consecutive records in some bytes.

    Reading stops after `MOST_RECORDS` records, or with the record that reaches `MOST_BYTES` bytes.

    Args:
        paths: The wanted values.
        contract: The contract of the records.
        data: The bytes.
        mode: Where the records are: `LINES`, `ELEMENTS` or `GIVEN` of `json_structs`.
        begin: Offset of the first record in `data`.
        first_line: Physical line number at that offset.
        is_last: Whether the object ends with these bytes.
        expects_value: Only for elements: whether an element comes next, not a comma.
        given: The begin and the end of each record, if they are known.

    Attributes:
        row_count: Number of valid records.
        count: Number of records.
        size: Number of bytes that were read.
        end: Offset after the last record of the group.
        line: Physical line number at that offset.
        is_full: Whether a limit stopped the reading. The bytes may then contain more records.
        is_endless: Whether the next record is longer than `MAX_RECORD_BYTES`.
        expects_value: As the argument, for the bytes after the group.
        keys: What the records so far contained.
    """

    def __init__(
        self,
        paths: RecordPaths,
        contract: Contract,
        data: bytes,
        mode: int,
        *,
        begin: int = 0,
        first_line: int = 1,
        is_last: bool = True,
        expects_value: bool = True,
        given: Sequence[int] = (),
    ) -> None:
        self._paths, self._contract, self._data, self._begin = paths, contract, data, begin
        self._address = (ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0) + begin
        described = json_structs.JsonInput(
            data=self._address,
            size=len(data) - begin,
            first_line=first_line,
            given=(ctypes.c_uint32 * len(given))(*given),
            given_count=len(given) // 2,
            longest=MAX_RECORD_BYTES,
            most_records=MOST_RECORDS,
            most_bytes=MOST_BYTES,
            mode=mode,
            is_last=is_last,
            expects_value=expects_value,
        )
        found = library.json_read(paths.plan, described)
        if not found:
            raise MemoryError(f"no memory for the JSON records of {len(data) - begin:,} bytes")
        weakref.finalize(self, library.json_free, found)
        self._found = found.contents
        self.row_count: int = self._found.row_count
        self.count: int = self._found.row_count + self._found.rejected_count
        self.size: int = self._found.consumed
        self.end: int = begin + self.size
        self.line: int = first_line + self._found.lines
        self.is_full: bool = self._found.is_full
        self.is_endless: bool = self._found.is_endless
        self.expects_value: bool = self._found.expects_value
        self.keys: json_structs.JsonKeys = self._found.keys.contents

    @classmethod
    def of(cls, paths: RecordPaths, contract: Contract, records: Sequence[Record]) -> "JsonGroup":
        """Parse records whose bytes are known. `line` of the records is kept as their line number."""
        given, end = [], 0
        for _, raw in records:
            given += [end, end := end + len(raw)]
        group = cls(paths, contract, b"".join(raw for _, raw in records), json_structs.GIVEN, given=given)
        group._number(records, given[::2])
        return group

    def _number(self, records: Sequence[Record], begins: Sequence[int]) -> None:
        """Give the records their line numbers. Empty records share their place with the next record."""
        lines = {begin: line for (line, raw), begin in zip(records, begins, strict=True) if raw}
        for found in (*self._found.rows[: self.row_count], *self._found.rejected[: self._found.rejected_count]):
            found.line = lines.get(found.begin, found.line)

    def records_of(self, rows: Sequence[int]) -> list[Record]:
        """Return the line numbers and the bytes of the valid records at the given positions."""
        records = [self._found.rows[row] for row in rows]
        return [(record.line, self._bytes_of(record)) for record in records]

    def first(self) -> Record | None:
        """Return the first record, valid or rejected."""
        records = [*self._found.rows[: self.row_count and 1], *self._found.rejected[: self._found.rejected_count and 1]]
        record = min(records, key=lambda one: one.begin, default=None)
        return record and (record.line, self._bytes_of(record))

    def rejected(self) -> list[RejectedRow]:
        """Return the rejected records."""
        return [self._rejected(record) for record in self._found.rejected[: self._found.rejected_count]]

    def batch(self, columns: ColumnMatch) -> Batch:
        """Return the valid and the rejected records as a batch."""
        names = [*self._contract.sources, *([UNKNOWN_KEYS] if self._contract.unknown_keys_column else [])]
        size = 8
        strings = [
            StringColumn(
                data=self._address,
                spans=(self._found.spans or 0) + place * size,
                stride=len(names),
                arena=self._found.arena,
            )
            for place in range(len(names))
        ]
        first = ctypes.cast(self._found.rows, ctypes.c_void_p).value
        lines = LineNumbers(
            first and first + json_structs.JsonRecord.line.offset, ctypes.sizeof(json_structs.JsonRecord), self
        )
        texts = StringColumns(names, strings, self.row_count, self)
        return Batch(texts, self.records_of, columns, lines, self.rejected())

    def _rejected(self, record: json_structs.JsonRecord) -> RejectedRow:
        column, reason = self._reason_of(record)
        return RejectedRow(record.line, column, reason, self._bytes_of(record))

    def _reason_of(self, record: json_structs.JsonRecord) -> tuple[str | None, Reason]:
        error = JsonError(record.error)
        if error in (JsonError.TWICE, JsonError.WRONG_TYPE):
            return self._paths.reason_of(record)
        if error == JsonError.UTF8:
            return None, not_text(getattr(self._contract.format, "encoding", "utf-8"))
        return None, _REASONS.get(error) or Reason(ReasonCode.NOT_JSON, f"not JSON: {_SYNTAX[error]}")

    def _bytes_of(self, record: json_structs.JsonRecord) -> bytes:
        return self._data[self._begin + record.begin : self._begin + record.end]
