"""JSON: parses an object into batches. Each value keeps the spelling that it has in the object.

Numbers, `true` and `false` are kept unchanged. Strings lose their quotes and escapes. Arrays and objects become compact
JSON. `null` and an absent key are nulls. If a record contains a key twice, the last value is used, as in jsonb.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from tasks.contracts import Contract
from tasks.engine.errors import UnreadableObjectError
from tasks.engine.formats.batches import Batch
from tasks.engine.formats.columns import ColumnMatch, match_columns
from tasks.engine.formats.csv_records import BOM, MAX_RECORD_BYTES
from tasks.engine.formats.json_documents import JsonDocument
from tasks.engine.formats.json_groups import MOST_BYTES, JsonGroup
from tasks.engine.formats.json_paths import RecordPaths
from tasks.engine.formats.json_records import Record, unreadable
from tasks.engine.formats.json_walk import read_elements
from tasks.engine.formats.native.json_structs import ELEMENTS, LINES, JsonKeys
from tasks.engine.masking import masked_record

JUDGED_RECORDS = 1000
"""Number of records after which an object without any JSON object is refused."""

FIRST_BYTES = 4 << 20
"""Approximate size of the records whose keys `read_keys` returns, if they are few."""


def read_ndjson(file: Any, name: str, contract: Contract, chunk_bytes: int) -> Iterator[Batch]:
    """Read NDJSON; see `tasks.engine.formats.reader.read_batches`."""
    keys = RecordKeys(contract, name)
    yield from _batches(_lines(file, name, keys, min(chunk_bytes, MOST_BYTES)), keys)


def read_json(file: Any, name: str, contract: Contract, chunk_bytes: int) -> Iterator[Batch]:
    """Read a JSON document; see `tasks.engine.formats.reader.read_batches`."""
    del chunk_bytes  # the window of a document bounds the batches
    keys = RecordKeys(contract, name, is_document=True)
    yield from _batches(read_elements(JsonDocument(file, name, contract), keys, contract.records_key), keys)


def _batches(groups: Iterator[JsonGroup], keys: "RecordKeys") -> Iterator[Batch]:
    for group in groups:
        keys.count(group)
        if keys.record_count >= JUDGED_RECORDS:
            keys.check_any()
        batch = group.batch(keys.columns)
        del group  # frees the memory before the next group is read
        yield batch
        del batch
    keys.check_any()
    keys.check_missing()


def _lines(file: Any, name: str, keys: "RecordKeys", chunk_bytes: int) -> Iterator[JsonGroup]:
    """Yield the records of NDJSON, one in each line that is not blank.

    Raises:
        UnreadableObjectError: A line is longer than `MAX_RECORD_BYTES`.
    """
    pending, line, is_last = b"", 1, False
    while not is_last:
        chunk = file.read(max(chunk_bytes, len(pending)))  # a long line is scanned only a few times
        is_last = not chunk
        pending += chunk
        if line == 1 and not is_last and len(pending) < len(BOM):
            continue
        begin = len(BOM) if line == 1 and pending.startswith(BOM) else 0
        is_full = True
        while is_full:
            group = keys.lines(pending, begin, line, is_last=is_last)
            begin, line, is_full = group.end, group.line, group.is_full
            if group.count:
                yield group
        if group.is_endless or len(pending) - begin > MAX_RECORD_BYTES:
            raise unreadable(name, line, f"expected a line of at most {MAX_RECORD_BYTES >> 20} MiB, found a longer one")
        pending = pending[begin:]


class RecordKeys:
    """Parses the records of an object, and compares their keys with the contract.

    Args:
        contract: The expected keys.
        name: The object, for the messages.
        is_document: Whether the object is one document.
    """

    def __init__(self, contract: Contract, name: str, *, is_document: bool = False) -> None:
        self._contract, self._name, self._is_document = contract, name, is_document
        self._paths = RecordPaths(contract)
        self._keys: JsonKeys | None = None
        self._has_json = False
        self.record_count = 0
        self._first: Record | None = None

    def lines(self, data: bytes, begin: int, first_line: int, *, is_last: bool) -> JsonGroup:
        """Parse the lines of NDJSON in some bytes; see `JsonGroup`."""
        return JsonGroup(self._paths, self._contract, data, LINES, begin=begin, first_line=first_line, is_last=is_last)

    def elements(self, data: bytes, begin: int, first_line: int, *, expects_value: bool) -> JsonGroup:
        """Parse the elements of an array in some bytes; see `JsonGroup`."""
        return JsonGroup(
            self._paths, self._contract, data, ELEMENTS, begin=begin, first_line=first_line, expects_value=expects_value
        )

    def records(self, records: Sequence[Record]) -> JsonGroup:
        """Parse records whose bytes are known."""
        return JsonGroup.of(self._paths, self._contract, records)

    def count(self, group: JsonGroup) -> None:
        """Count the records of a group, and remember its keys."""
        self.record_count += group.count
        self._first = self._first or group.first()
        self._keys = group.keys
        if not self.has_records and not self._has_json:
            self._has_json = any(row.raw.lstrip().startswith(b"{") for row in group.rejected())

    @property
    def has_records(self) -> bool:
        """Whether a record so far is a JSON object."""
        return bool(self._keys and self._keys.has_object)

    @property
    def found(self) -> list[str]:
        """All keys so far, with their names in the object."""
        return [*self._paths.found(self._keys), *self._unknown] if self._keys else []

    @property
    def _unknown(self) -> list[str]:
        return self._paths.unknown(self._keys) if self._keys else []

    @property
    def columns(self) -> ColumnMatch:
        """The match between the keys so far and the contract.

        Raises:
            ContractError: A key is undeclared, and the contract forbids undeclared keys.
        """
        return match_columns(self._contract, [*self._contract.sources, *self._unknown], self._name)

    def check_any(self) -> None:
        """Refuse an object without JSON objects as records, and NDJSON that is a document on several lines.

        Raises:
            UnreadableObjectError: No record so far is a JSON object, and either the first record begins like an array
                or no record begins like an object. Or the first line is a bracket alone.
        """
        begins_array = bool(self._first and self._first[1].lstrip().startswith(b"["))
        if self._first and not self.has_records and (begins_array or not self._has_json):
            line, raw = self._first
            found = f"line {line:,} {masked_record(self._contract, raw)}"
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
        if self._first and not self._is_document and self._first[1].strip() in (b"[", b"{"):
            raise UnreadableObjectError(
                f"{self._name}: expected one JSON object a line, found a value that takes several lines from line"
                f" {self._first[0]:,} on. Nothing was loaded. Deliver the object again, or correct the dataset's key"
            )

    def check_missing(self) -> None:
        """Refuse an object with a declared key that is missing from every record. Call it after the last record.

        Raises:
            ContractError: A key is missing from every record, and the contract does not allow this.
        """
        if self.has_records and self._contract.absent_keys == "fail":
            match_columns(self._contract, self.found, self._name)


def json_batch(records: Sequence[Record], keys: RecordKeys) -> Batch:
    """Parse records into a batch. Records that are not JSON objects are rejected."""
    group = keys.records(records)
    keys.count(group)
    return group.batch(keys.columns)


def read_keys(file: Any, name: str, contract: Contract, *, is_document: bool) -> list[str]:
    """Read the keys of the first records of an object, with their names in the object.

    Raises:
        UnreadableObjectError: The beginning cannot be read.
    """
    keys, size = RecordKeys(contract, name, is_document=is_document), 0
    if is_document:
        groups = read_elements(JsonDocument(file, name, contract), keys, contract.records_key)
    else:
        groups = _lines(file, name, keys, MOST_BYTES)
    for group in groups:
        keys.count(group)
        size += group.size
        if keys.record_count >= JUDGED_RECORDS or size >= FIRST_BYTES:
            break
    keys.check_any()
    return keys.found
