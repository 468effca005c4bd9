"""Structures: the columns of a JSON document or of a parquet file, and the types that the format itself declares."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.contracts.paths import WHOLE_DOCUMENT, Step, path_text
from tasks.engine.errors import ParameterError, UnreadableObjectError
from tasks.engine.formats.csv_records import BOM
from tasks.engine.formats.parquet_files import errors_of_bytes
from tasks.engine.samples.files import SampleFile, decompressed_of
from tasks.engine.samples.values import Kind

_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
MOST_RECORDS = 200_000
MOST_KEYS = 60
"""Maximum number of keys of a record. An object with more keys is a map of values."""

DEEPEST = 4
LONGEST_TUPLE = 3
"""Number of elements up to which an array of numbers is a tuple, such as the coordinates of a point."""


@dataclass(frozen=True)
class Structure:
    """The columns of a file.

    Attributes:
        kinds: Types that the format declares, by the source of a column; empty where the values decide.
        records_key: See `Contract.records_key`.
        notes: What the file leaves open.
    """

    kinds: Mapping[str, tuple[Kind, ...]]
    records_key: str = ""
    notes: tuple[str, ...] = ()


def json_structure(file: SampleFile, kind: str) -> Structure:
    """Find the records of a JSON file and the paths of their values.

    Raises:
        ParameterError: The file has no record.
        UnreadableObjectError: The file is not JSON.
    """
    key, records, others = records_of(file, kind)
    found = [record for record in records if isinstance(record, dict)]
    if not found:
        raise ParameterError(f"{file.uri}: expected records that are JSON objects, found {len(records):,} other values")
    notes = [
        f"The document has another array of records, {other}, which the contract does not read." for other in others
    ]
    paths = list(_paths(found))
    notes += [
        f"Each array {array} has {sum(path.startswith(f'{array}[') for path in paths)} numbers, one for each column."
        " If an array may be longer, load it into one JSONB column: the columns would lose its other numbers."
        for array in (path.removesuffix("[0]") for path in paths if path.endswith("[0]"))
    ]
    return Structure(dict.fromkeys(paths, ()), key, tuple(notes))


def records_of(file: SampleFile, kind: str) -> tuple[str, list[Any], tuple[str, ...]]:
    """Return the path of the array with the records of a JSON file, the first records, and the paths of other arrays.

    A line that is not JSON counts as no record here. The profile lists it among the rejected rows.

    Raises:
        ParameterError: The records are the values of an object.
        UnreadableObjectError: The document, or each line of NDJSON, is not JSON.
    """
    with decompressed_of(file) as opened:
        if kind != ".ndjson":
            try:
                document = _decoded(opened.read().removeprefix(BOM))
            except _NOT_JSON as error:
                raise _not_json(file, error) from error
            return _records_of(document, file.uri)
        records, first_error = [], None
        for line in islice((line.removeprefix(BOM) for line in opened if line.strip()), MOST_RECORDS):
            try:
                records.append(_decoded(line))
            except _NOT_JSON as error:
                first_error = first_error or error
        if first_error and not records:
            raise _not_json(file, first_error) from first_error
        return "", records, ()


def _decoded(text: bytes) -> Any:
    """Decode JSON. Numbers beyond a double and lone surrogates are decoded too, because a load rejects their rows only.

    Raises:
        msgspec.DecodeError: The text is not JSON.
        UnicodeDecodeError: The text is not UTF-8.
        RecursionError: The text nests too deeply.
    """
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        try:
            return json.loads(text)
        except ValueError:
            raise error from None


def _not_json(file: SampleFile, error: Exception) -> UnreadableObjectError:
    return UnreadableObjectError(
        f"{file.uri}: expected JSON, found other text: {error}. Correct the file, or choose another sample"
    )


def _records_of(document: Any, uri: str) -> tuple[str, list[Any], tuple[str, ...]]:
    """The array with the most objects in a document. A document without such an array is one record."""
    if isinstance(document, list):
        return "", document, ()
    arrays = [] if _is_map(document) else sorted(_arrays(document, ()), key=lambda found: -len(found[1]))
    if arrays:
        return *arrays[0], tuple(path for path, _ in arrays[1:])
    if _is_map(document) or (isinstance(document, dict) and any(map(_is_map, document.values()))):
        raise ParameterError(
            f"{uri}: expected an array of records, found an object whose values are the records. Convert the file to"
            " NDJSON before you deliver it, for example with: jq -c 'to_entries[] | {key} + .value'"
        )
    return WHOLE_DOCUMENT, [document], ()


def _is_map(value: Any) -> bool:
    """Whether a value is an object whose keys are values: it has many keys, and all of its values are objects."""
    return isinstance(value, dict) and len(value) > MOST_KEYS and all(isinstance(one, dict) for one in value.values())


def _arrays(value: Any, path: tuple[Step, ...], depth: int = 0) -> Iterator[tuple[str, list[Any]]]:
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        yield path_text(path), value
    elif isinstance(value, dict) and depth < 3:
        for key, inner in value.items():
            yield from _arrays(inner, (*path, key), depth + 1)


def _paths(records: Iterable[Mapping[str, Any]], path: tuple[Step, ...] = ()) -> Iterator[str]:
    """The paths of the values in some objects. Objects with few distinct keys are split into their values."""
    values: dict[str, list[Any]] = {}
    for record in records:
        for key, value in record.items():
            values.setdefault(key, []).append(value)
    for key, found in values.items():
        present = [value for value in found if value is not None]
        inner = (*path, key)
        if present and len(path) < DEEPEST and all(isinstance(value, dict) for value in present):
            keys = {each for value in present for each in value}
            if 0 < len(keys) <= MOST_KEYS:
                yield from _paths(present, inner)
                continue
        if _is_tuple(present):
            yield from (path_text((*inner, place)) for place in range(len(present[0])))
            continue
        yield path_text(inner)


def _is_tuple(values: list[Any]) -> bool:
    """Whether all values are short arrays of numbers with the same length."""
    lengths = {len(value) if isinstance(value, list) else 0 for value in values}
    if len(lengths) != 1 or not 2 <= min(lengths) <= LONGEST_TUPLE:
        return False
    return all(isinstance(one, int | float) and not isinstance(one, bool) for value in values for one in value)


def parquet_structure(file: SampleFile) -> Structure:
    """Read the columns of a parquet file and their types.

    Raises:
        ParameterError: No column has a type that Tally reads.
        UnreadableObjectError: Arrow cannot read the file.
    """
    with file.opened() as opened, errors_of_bytes(file.uri):
        schema = pq.ParquetFile(opened).schema_arrow
    kinds, notes = {}, []
    for column in schema:
        kind = _arrow_kinds(column.type)
        if kind is None:
            notes.append(f"The contract leaves out column {column.name}, because no column type holds {column.type}.")
        else:
            kinds[column.name] = kind
    if not kinds:
        raise ParameterError(f"{file.uri}: expected at least one column that Tally reads, found {schema.names}")
    return Structure(kinds, "", tuple(notes))


def _arrow_kinds(kind: Any) -> tuple[Kind, ...] | None:
    """Types for a type of Arrow, from the narrowest; empty where the values decide; None for nested types."""
    is_type = pa.types
    if is_type.is_dictionary(kind):
        return _arrow_kinds(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        is_uuid = kind.extension_name == "arrow.uuid"
        return (Kind("uuid"),) if is_uuid else _arrow_kinds(kind.storage_type)
    if _is_text(kind) or is_type.is_null(kind):
        return ()
    for fits, names in (
        (is_type.is_boolean, ("boolean",)),
        (is_type.is_integer, _integers(kind)),
        (is_type.is_floating, ("double precision",)),
        (is_type.is_decimal, ("numeric",)),
        (is_type.is_date, ("date",)),
        (is_type.is_time, ("time",)),
        (is_type.is_timestamp, ("timestamptz" if getattr(kind, "tz", None) else "timestamp",)),
        (_is_bytes, ("bytea",)),
    ):
        if fits(kind):
            return tuple(map(Kind, names))
    return _list_kinds(kind)


def _is_text(kind: Any) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _is_bytes(kind: Any) -> bool:
    kinds = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)
    return any(is_one(kind) for is_one in kinds)


def _list_kinds(kind: Any) -> tuple[Kind, ...] | None:
    """Types for lists of texts and of integers; None for others."""
    if not pa.types.is_list(kind) and not pa.types.is_large_list(kind):
        return None
    element = kind.value_type
    if _is_text(element):
        return (Kind("text[]"),)
    return (Kind("bigint[]"),) if pa.types.is_integer(element) and str(element) != "uint64" else None


def _integers(kind: Any) -> tuple[str, ...]:
    is_wide = str(kind) in ("int64", "uint32", "uint64")
    return ("bigint", "numeric") if is_wide else ("integer", "bigint")
