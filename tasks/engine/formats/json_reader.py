"""JSON: records as texts, every value in the spelling that it has in the object.

Numbers and words stand as they are written, strings without their quotes and escapes, arrays and objects as compact
JSON. `null` and an absent key are nulls; of a key that stands twice in a record the last counts, as in Postgres' jsonb.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import polars as pl

from tasks.contracts import UNKNOWN_KEYS, Contract
from tasks.engine.errors import UnreadableObjectError
from tasks.engine.formats.batches import Batch
from tasks.engine.formats.columns import ColumnMatch, match_columns
from tasks.engine.formats.frames import string_columns_of
from tasks.engine.formats.json_records import Record, has_more_keys, read_elements, read_lines
from tasks.engine.ledger import RejectedRow
from tasks.engine.quoting import quoted, shown

BATCH_BYTES = 16 << 20
"""The most that one batch holds."""

BATCH_RECORDS = 16_384
MOST_KEYS = 10_000
"""A record with more keys is rejected: each key is an object of Python, a hundred times as large as it is short."""

CACHED_KEYS = 200
"""Where the sources are found in a record is remembered for records of no more keys than this."""

JUDGED_RECORDS = 1000
"""Lines of NDJSON after which an object without any sign of NDJSON is refused."""

REPORTED_KEYS = 100
"""How many keys that the contract does not know are remembered for the report."""

Fields = dict[str, msgspec.Raw]

_decode = msgspec.json.Decoder(Fields).decode
_decode_strings = msgspec.json.Decoder(list[str]).decode
_NULL = msgspec.Raw(b"null")
_SEPARATOR = b"\x01"  # which no JSON holds
_NESTED = r"^[\[{]"


def read_ndjson(file: Any, name: str, contract: Contract, chunk_bytes: int) -> Iterator[Batch]:
    """Read NDJSON; see `tasks.engine.formats.reader.read_batches`."""
    keys = RecordKeys(contract, name)
    for records in _batches(read_lines(file, name), chunk_bytes):
        batch = json_batch(records, keys)
        if keys.record_count >= JUDGED_RECORDS:
            keys.check_any()
        yield batch
    keys.check_any()
    keys.check_missing()


def read_json(file: Any, name: str, contract: Contract, chunk_bytes: int) -> Iterator[Batch]:
    """Read a document; see `tasks.engine.formats.reader.read_batches`."""
    keys = RecordKeys(contract, name)
    for records in _batches(read_elements(file, name, contract.records_key), chunk_bytes):
        yield json_batch(records, keys)
    keys.check_missing()


class RecordKeys:
    """The keys that an object's records bring, held against the contract.

    Args:
        contract: What is expected.
        name: The object, for the messages.
    """

    def __init__(self, contract: Contract, name: str) -> None:
        self._contract, self._name = contract, name
        self._source_of = {key: source for source, aliases in contract.sources.items() for key in (source, *aliases)}
        self._found: dict[str, str] = {}
        self._unknown: dict[str, None] = {}
        self.has_records = self.has_json = False
        self.record_count = 0
        self._first: Record | None = None
        self.keeps_unknown = contract.unknown_keys_column is not None
        self._cached_places = lru_cache(maxsize=128)(self._places)

    def places(self, keys: tuple[str, ...]) -> tuple[str, ...] | str:
        """For each source of the contract its key in a record with these keys, or what is wrong with them."""
        return (self._cached_places if len(keys) <= CACHED_KEYS else self._places)(keys)

    def _places(self, keys: tuple[str, ...]) -> tuple[str, ...] | str:
        self.has_records = True
        places: dict[str, str] = {}
        for key in keys:
            source = self._source_of.get(key)
            if source is None:
                if len(self._unknown) < REPORTED_KEYS:
                    self._unknown[key] = None
            elif source in places:
                return f"column {source} stands twice, as {shown(places[source])} and as {shown(key)}"
            else:
                places[source] = key
        self._found |= places
        return tuple(places.get(source, source) for source in self._contract.sources)

    def unknown_of(self, fields: Fields) -> msgspec.Raw | bytes:
        """The keys of a record that the contract does not know, as one object; null where there are none."""
        unknown = [
            msgspec.json.encode(key) + b":" + value for key, value in fields.items() if key not in self._source_of
        ]
        return b"{" + b",".join(unknown) + b"}" if unknown else _NULL

    @property
    def found(self) -> list[str]:
        """Every key so far, by the name that it has in the object."""
        return [*self._found.values(), *self._unknown]

    @property
    def columns(self) -> ColumnMatch:
        """The match so far.

        Raises:
            ContractError: A key is unknown and the contract says `fail`.
        """
        return match_columns(self._contract, [*self._contract.sources, *self._unknown], self._name)

    def count(self, records: Sequence[Record]) -> None:
        """Count records, before they are read."""
        self.record_count += len(records)
        self._first = self._first or next(iter(records), None)

    def note_bad(self, raw: bytes) -> None:
        """Note a rejected record: one that begins like an object is a sign of NDJSON."""
        self.has_json = self.has_json or raw.lstrip().startswith(b"{")

    def check_any(self) -> None:
        """Refuse lines that are something else than NDJSON.

        Raises:
            UnreadableObjectError: No line so far is a JSON object. Besides, the first begins like an array, or none
                begins like an object.
        """
        is_document = bool(self._first and self._first[1].lstrip().startswith(b"["))
        if self._first and not self.has_records and (is_document or not self.has_json):
            line, raw = self._first
            raise UnreadableObjectError(
                f"{self._name}: expected one JSON object a line, found none in {self.record_count:,} lines, e.g."
                f" line {line:,} {quoted(raw)}. Nothing was loaded; have the object delivered again, or set the"
                " dataset's key"
            )

    def check_missing(self) -> None:
        """At the end, refuse an object none of whose records has a certain key: it was renamed, or forgotten.

        Raises:
            ContractError: There is such a key, and the contract does not say that it may be absent.
        """
        if self.has_records and self._contract.absent_keys == "fail":
            match_columns(self._contract, [*self._found, *self._unknown], self._name)


def json_batch(records: Sequence[Record], keys: RecordKeys) -> Batch:
    """Records as texts; those that are no objects, or no JSON, are rejected."""
    sound: list[Record] = []
    rows: list[bytes] = []
    rejected: list[RejectedRow] = []
    keys.count(records)
    for line, raw in records:
        fields = _fields(raw)
        places = fields if isinstance(fields, str) else keys.places(tuple(fields))
        if isinstance(fields, str) or isinstance(places, str):
            keys.note_bad(raw)
            rejected.append(RejectedRow(line, None, str(places), raw))
            continue
        row = _SEPARATOR.join([fields.get(place, _NULL) for place in places])
        if keys.keeps_unknown:
            row += _SEPARATOR + keys.unknown_of(fields)
        sound.append((line, raw))
        rows.append(row.replace(b"\n", b" ") if b"\n" in raw else row)
    columns = keys.columns
    frame = _frame(b"\n".join(rows), [*columns.positions, *([UNKNOWN_KEYS] if keys.keeps_unknown else [])])
    return Batch(string_columns_of(frame), lambda places: [sound[place] for place in places], columns, rejected)


def _batches(records: Iterator[Record], chunk_bytes: int) -> Iterator[list[Record]]:
    """Records by the batch, each bounded in bytes and in number."""
    batch: list[Record] = []
    size = 0
    for record in records:
        batch.append(record)
        size += len(record[1])
        if size >= min(chunk_bytes, BATCH_BYTES) or len(batch) >= BATCH_RECORDS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _fields(raw: bytes) -> Fields | str:
    """Values of a record by key, or what is wrong with it."""
    try:
        raw.decode()  # the decoder does not look into values that it leaves as they are
        return f"more than {MOST_KEYS:,} keys" if has_more_keys(raw, MOST_KEYS) else _decode(raw)
    except UnicodeDecodeError:
        return "not UTF-8"
    except RecursionError:
        return "JSON nested too deeply"
    except msgspec.ValidationError:
        return "expected a JSON object"
    except msgspec.DecodeError as error:
        return f"not JSON: {str(error).removeprefix('JSON is malformed: ').partition(' (byte')[0]}"


def _frame(rows: bytes, names: list[str]) -> pl.DataFrame:
    """Rows of JSON values as strings."""
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
    frame = values.select(_unquoted(name) for name in names)
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


def _unquoted(name: str) -> pl.Expr:
    value = pl.col(name)
    bare = value.str.strip_prefix('"').str.strip_suffix('"')
    return pl.when(value.str.starts_with('"')).then(bare).otherwise(value).alias(name)


def _is_escaped(value: pl.Expr) -> pl.Expr:
    return value.str.starts_with('"') & value.str.contains("\\", literal=True)


def _columns_with(values: pl.DataFrame, is_one: Callable[[pl.Expr], pl.Expr]) -> list[str]:
    """Columns that hold such a value."""
    found = values.select(is_one(pl.col(name)).any() for name in values.columns)
    return [name for name, is_found in zip(found.columns, found.row(0), strict=True) if is_found]
