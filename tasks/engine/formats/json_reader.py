"""JSON: parses records into string columns. Each value keeps the spelling that it has in the object.

Numbers, `true` and `false` are kept unchanged. Strings lose their quotes and escapes. Arrays and objects become compact
JSON. `null` and an absent key are nulls. If a record contains a key twice, the last value is used, as in jsonb.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec
import polars as pl

from tasks.contracts import UNKNOWN_KEYS, Contract
from tasks.contracts.spelt_types import decimals_of
from tasks.engine.errors import UnreadableObjectError
from tasks.engine.formats.batches import Batch
from tasks.engine.formats.columns import ColumnMatch, match_columns
from tasks.engine.formats.encodings import not_text
from tasks.engine.formats.frames import string_columns_of
from tasks.engine.formats.json_documents import has_more_keys
from tasks.engine.formats.json_paths import (
    MOST_KEYS,
    TOO_MANY_KEYS,
    Blocked,
    Fields,
    Found,
    PathReason,
    RecordPaths,
    TooManyKeysError,
)
from tasks.engine.formats.json_records import Record, read_lines
from tasks.engine.formats.json_walk import read_elements
from tasks.engine.formats.line_numbers import LineNumbers
from tasks.engine.formats.record_groups import grouped
from tasks.engine.masking import record_of
from tasks.engine.rejected_rows import Reason, ReasonCode, RejectedRow

JUDGED_RECORDS = 1000
"""Number of records after which an object without any JSON object is refused."""

REPORTED_KEYS = 100
"""Maximum number of undeclared keys that are kept for the report."""

_decode = msgspec.json.Decoder(Fields).decode
_decode_strings = msgspec.json.Decoder(list[str]).decode
_SEPARATOR = b"\x01"  # never occurs in JSON
_NESTED = r"^[\[{]"


def read_ndjson(file: Any, name: str, contract: Contract, chunk_bytes: int) -> Iterator[Batch]:
    """Read NDJSON; see `tasks.engine.formats.reader.read_batches`."""
    yield from _read(read_lines(file, name), RecordKeys(contract, name), chunk_bytes)


def read_json(file: Any, name: str, contract: Contract, chunk_bytes: int) -> Iterator[Batch]:
    """Read a JSON document; see `tasks.engine.formats.reader.read_batches`."""
    yield from _read(read_elements(file, name, contract), RecordKeys(contract, name, is_document=True), chunk_bytes)


def _read(records: Iterator[Record], keys: "RecordKeys", chunk_bytes: int) -> Iterator[Batch]:
    for group in grouped(records, chunk_bytes):
        batch = json_batch(group, keys)
        if keys.record_count >= JUDGED_RECORDS:
            keys.check_any()
        yield batch
    keys.check_any()
    keys.check_missing()


class RecordKeys:
    """Collects the keys of an object's records and compares them with the contract.

    Args:
        contract: The expected keys.
        name: The object, for the messages.
        is_document: Whether the object is one document.
    """

    def __init__(self, contract: Contract, name: str, *, is_document: bool = False) -> None:
        self._contract, self._name, self._is_document = contract, name, is_document
        self.encoding: str = getattr(contract.format, "encoding", "utf-8")
        self.paths = RecordPaths(contract)
        self._found: dict[str, str] = {}
        self._unknown: dict[str, None] = {}
        self.has_records = self.has_json = False
        self.record_count = 0
        self._first: Record | None = None
        self.decimals = decimals_of(contract.read_columns)
        self.keeps_unknown = contract.unknown_keys_column is not None

    def values(self, fields: Fields) -> list[msgspec.Raw] | Reason:
        """Return the value of each source in a record, or the reason to reject the record."""
        self.has_records = True
        found: Found = {}
        unknown: dict[str, None] = {}
        try:
            self.paths.find(fields, found, unknown)
        except TooManyKeysError:
            return TOO_MANY_KEYS
        if len(self._unknown) < REPORTED_KEYS and unknown.keys() - self._unknown.keys():
            self._unknown |= dict.fromkeys(islice(unknown, REPORTED_KEYS))
        values = []
        for source in self._contract.sources:
            value = self.paths.value_of(source, found)
            if isinstance(value, Reason):
                return value
            values.append(value)
        if len(self._found) < len(values):
            self._note_found(found)
        return values

    def _note_found(self, found: Found) -> None:
        for source, places in self.paths.names.items():
            for steps, name in places.items():
                if source not in self._found and not isinstance(found.get(steps, Blocked("", "", "")), Blocked):
                    self._found[source] = name

    def unknown_of(self, fields: Fields) -> bytes:
        """Return the undeclared keys of a record as one JSON object, or null if there are none."""
        return self.paths.unknown_of(fields)

    @property
    def found(self) -> list[str]:
        """All keys so far, with their names in the object."""
        return [*self._found.values(), *self._unknown]

    @property
    def columns(self) -> ColumnMatch:
        """The match between the keys so far and the contract.

        Raises:
            ContractError: A key is undeclared, and the contract forbids undeclared keys.
        """
        return match_columns(self._contract, [*self._contract.sources, *self._unknown], self._name)

    def count(self, records: Sequence[Record]) -> None:
        """Count records before they are parsed."""
        self.record_count += len(records)
        self._first = self._first or next(iter(records), None)

    def note_bad(self, raw: bytes) -> None:
        """Note a rejected record. A record that begins with a brace is probably a damaged JSON object."""
        self.has_json = self.has_json or raw.lstrip().startswith(b"{")

    def check_any(self) -> None:
        """Refuse an object without JSON objects as records.

        Raises:
            UnreadableObjectError: No record so far is a JSON object. Besides, the first begins like an array, or none
                begins like an object.
        """
        begins_array = bool(self._first and self._first[1].lstrip().startswith(b"["))
        if self._first and not self.has_records and (begins_array or not self.has_json):
            line, raw = self._first
            found = f"line {line:,} {record_of(self._contract, raw)}"
            if self._is_document:
                raise UnreadableObjectError(
                    f"{self._name}: expected JSON objects as records, found none in {self.record_count:,} records, e.g."
                    f" {found}. Nothing was loaded. Have each record delivered as an object with its keys, or the"
                    " records as CSV; or correct records_key in the contract"
                )
            raise UnreadableObjectError(
                f"{self._name}: expected one JSON object a line, found none in {self.record_count:,} lines, e.g."
                f" {found}. Nothing was loaded. Deliver the object again, or correct the dataset's key"
            )

    def check_missing(self) -> None:
        """Refuse an object with a declared key that is missing from every record. Call it after the last record.

        Raises:
            ContractError: A key is missing from every record, and the contract does not allow this.
        """
        if self.has_records and self._contract.absent_keys == "fail":
            match_columns(self._contract, [*self._found, *self._unknown], self._name)


def json_batch(records: Sequence[Record], keys: RecordKeys) -> Batch:
    """Parse records into a batch. Records that are not JSON objects are rejected."""
    valid: list[Record] = []
    rows: list[bytes] = []
    rejected: list[RejectedRow] = []
    keys.count(records)
    for line, raw in records:
        row = _row(raw, keys)
        if isinstance(row, Reason):
            keys.note_bad(raw)
            rejected.append(RejectedRow(line, row.source if isinstance(row, PathReason) else None, row, raw))
            continue
        valid.append((line, raw))
        rows.append(row)
    columns = keys.columns
    names = [*columns.positions, *([UNKNOWN_KEYS] if keys.keeps_unknown else [])]
    frame = _frame(b"\n".join(rows), names, keys.decimals)
    lines = LineNumbers.of(line for line, _ in valid)
    return Batch(string_columns_of(frame), lambda places: [valid[place] for place in places], columns, lines, rejected)


def _row(raw: bytes, keys: RecordKeys) -> bytes | Reason:
    """Return the values of a record in the order of the sources, or the reason to reject the record."""
    fields = _fields(raw, keys.encoding)
    if isinstance(fields, Reason):
        return fields
    values = keys.values(fields)
    if isinstance(values, Reason):
        return values
    row = _SEPARATOR.join(values)
    if keys.keeps_unknown:
        row += _SEPARATOR + keys.unknown_of(fields)
    return row.replace(b"\n", b" ") if b"\n" in raw else row


def _fields(raw: bytes, encoding: str) -> Fields | Reason:
    """Return the values of a record by key, or the reason to reject the record."""
    try:
        raw.decode()  # the decoder does not validate the values that it returns unparsed
        return TOO_MANY_KEYS if has_more_keys(raw, MOST_KEYS) else _decode(raw)
    except UnicodeDecodeError:
        return not_text(encoding)
    except RecursionError:
        return Reason(ReasonCode.NESTED_TOO_DEEPLY, "JSON nested too deeply")
    except msgspec.ValidationError:
        return Reason(ReasonCode.NOT_AN_OBJECT, "expected a JSON object")
    except msgspec.DecodeError as error:
        found = str(error).removeprefix("JSON is malformed: ").partition(" (byte")[0]
        return Reason(ReasonCode.NOT_JSON, f"not JSON: {found}")


def _frame(rows: bytes, names: list[str], decimals: Mapping[str, str]) -> pl.DataFrame:
    """Convert rows of JSON values into a frame of strings.

    Args:
        rows: The values of each row in the order of the names.
        names: Names of the columns.
        decimals: The decimal mark of numbers by column; see `decimals_of`.
    """
    schema = dict.fromkeys(names, pl.String)
    if not rows:
        return pl.DataFrame(schema=schema)
    values = pl.read_csv(
        rows,
        has_header=False,
        schema=schema,
        infer_schema=False,
        separator=_SEPARATOR.decode(),
        quote_char=None,
        null_values="null",
    )
    frame = values.select(_unquoted(name, decimals.get(name, ".")) for name in names)
    if b"[" in rows or b"{" in rows:
        for name in _columns_with(values, lambda value: value.str.contains(_NESTED)):
            places = values[name].str.contains(_NESTED).arg_true()
            compact = [msgspec.json.format(value, indent=-1) for value in values[name].gather(places)]
            frame = frame.with_columns(frame[name].scatter(places, pl.Series(compact, dtype=pl.String)))
    if b"\\" in rows:
        for name in _columns_with(values, _is_escaped):
            places = values.select(_is_escaped(pl.col(name))).to_series().arg_true()
            strings = _decode_strings("[" + ",".join(values[name].gather(places)) + "]")
            frame = frame.with_columns(frame[name].scatter(places, pl.Series(strings, dtype=pl.String)))
    return frame


def _unquoted(name: str, decimal: str) -> pl.Expr:
    """Remove the quotes of strings. A number that is no string gets the decimal mark that the contract declares."""
    value = pl.col(name)
    bare = value.str.strip_prefix('"').str.strip_suffix('"')
    number = value if decimal == "." else value.str.replace(".", decimal, literal=True)
    return pl.when(value.str.starts_with('"')).then(bare).otherwise(number).alias(name)


def _is_escaped(value: pl.Expr) -> pl.Expr:
    return value.str.starts_with('"') & value.str.contains("\\", literal=True)


def _columns_with(values: pl.DataFrame, is_one: Callable[[pl.Expr], pl.Expr]) -> list[str]:
    """Return the columns with a value that satisfies a condition."""
    found = values.select(is_one(pl.col(name)).any() for name in values.columns)
    return [name for name, is_found in zip(found.columns, found.row(0), strict=True) if is_found]
