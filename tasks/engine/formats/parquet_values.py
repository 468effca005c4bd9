"""Conversion of parquet values into strings."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

import pyarrow as pa

from tasks.contracts import Column, Contract
from tasks.contracts.decimal_marks import decimal_of
from tasks.contracts.paths import steps_of
from tasks.contracts.spelling import AS_POSTGRES
from tasks.contracts.spelt_types import CLOCKS
from tasks.engine.errors import ContractError
from tasks.engine.formats.native.binding import library
from tasks.engine.formats.parquet_clocks import clock_texts

_TEXT = pa.large_string()
LIST = pa.large_list(_TEXT)
_UUID = "arrow.uuid"


@dataclass(frozen=True)
class Wanted:
    """What the columns of a source take besides texts, and how they spell it.

    Attributes:
        lists: Type of the elements that lists may have; empty: no lists.
        is_double: Whether a column stores floats of 64 bits, so that a float of 32 bits keeps its exact value.
        is_bytes: Whether all columns store bytes.
        decimal: Character before the decimals.
        formats: Fields of the spelling that declare how texts write a date or a time.
    """

    lists: Literal["", "texts", "integers"] = ""
    is_double: bool = False
    is_bytes: bool = False
    decimal: str = "."
    formats: tuple[str, ...] = ()


def wanted_of(contract: Contract) -> dict[str, Wanted]:
    """Return what the columns of each source take."""
    columns: dict[str, list[Column]] = {}
    for column in contract.read_columns:
        columns.setdefault(column.source_name, []).append(column)
    return {source: _wanted(readers) for source, readers in columns.items()}


def _wanted(columns: list[Column]) -> Wanted:
    types = {column.type.postgres for column in columns}
    spellings = [column.spelling or AS_POSTGRES for column in columns]
    is_texts, is_integers = "text[]" in types, bool(types & {"integer[]", "bigint[]"})
    return Wanted(
        lists="texts" if is_texts else "integers" if is_integers else "",
        is_double="double precision" in types,
        is_bytes=types == {"bytea"},
        decimal=decimal_of(columns),
        formats=tuple(
            field
            for column, spelling in zip(columns, spellings, strict=True)
            if (field := CLOCKS.get(column.type.postgres.partition("(")[0])) and getattr(spelling, field)
        ),
    )


def check_paths(contract: Contract, schema: pa.Schema, name: str) -> None:
    """Refuse a source that is a path into a column. Only JSON has paths.

    Raises:
        ContractError: There is one.
    """
    for source, aliases in contract.sources.items():
        first = steps_of(source)[0]
        if not {source, *aliases} & {*schema.names} and first != source and first in schema.names:
            raise ContractError(
                f"{name}: expected a column {source}, found only column {first} of type"
                f" {schema.field(schema.get_field_index(first)).type}. A path leads into JSON only. Have the field"
                f" written as a column of its own, named {source}, or have the rows delivered as NDJSON"
            )


def text_array(values: Any, written: pa.DataType, column: str, wanted: Wanted) -> Any:
    """Convert values into large strings in ISO notation, or lists of strings into large lists of large strings.

    A number gets the decimal mark that the contract declares, so that the text of a rejected row can be replayed.

    Args:
        values: Values with parquet's own type.
        written: The writer's type of these values.
        column: Name of the object and of its column, for the message.
        wanted: What the columns of the contract take.

    Raises:
        ContractError: The type cannot be converted.
    """
    if isinstance(values, pa.ExtensionArray):
        is_uuid = values.type.extension_name == _UUID
        values = values.storage
        if is_uuid:  # a UUID is valid without hyphens
            return _spelling().hex_digits(values, "").cast(_TEXT)
    if _is_text(values.type):
        return values if values.type == _TEXT else values.cast(_TEXT)
    if wanted.is_bytes and _is_binary(values.type):
        return _spelling().hex_digits(values, r"\x").cast(_TEXT)
    if _takes_list(values.type, wanted):
        return values.cast(LIST)
    _check_formats(values.type, column, wanted)
    if wanted.is_double and (pa.types.is_float32(values.type) or pa.types.is_float16(values.type)):
        values = values.cast(pa.float64())
    if pa.types.is_decimal(values.type):
        return _with_decimal(values.cast(_TEXT), wanted)
    if pa.types.is_duration(written) or not _has_spelling(values.type):
        lists = f", a list of {wanted.lists.replace('texts', 'strings')}" if wanted.lists else ""
        raise ContractError(
            f"{column}: expected text{lists}, a time or a number, found {written}."
            " Write the object with one of these types"
        )
    texts = _texts_of(values, written, column)
    return _with_decimal(texts, wanted) if pa.types.is_floating(values.type) else texts


def _texts_of(values: Any, written: pa.DataType, column: str) -> Any:
    if pa.types.is_integer(values.type) or pa.types.is_boolean(values.type):
        return values.cast(_TEXT)
    texts = clock_texts(values)
    return _spelling().texts_of(values, written, column).cast(_TEXT) if texts is None else texts


def _compute() -> Any:
    """Return Arrow's functions. Their import takes 9 MB, which files with texts do not need."""
    return import_module("pyarrow.compute")


def _spelling() -> Any:
    """Return the module that imports polars, which most files do not need."""
    return import_module("tasks.engine.formats.parquet_spelling")


def _with_decimal(texts: Any, wanted: Wanted) -> Any:
    return texts if wanted.decimal == "." else _compute().replace_substring(texts, ".", wanted.decimal)


def _takes_list(type_: Any, wanted: Wanted) -> bool:
    if not wanted.lists or not _is_list(type_):
        return False
    return _is_text(type_.value_type) or (wanted.lists == "integers" and pa.types.is_integer(type_.value_type))


def _check_formats(type_: pa.DataType, column: str, wanted: Wanted) -> None:
    """Refuse dates and times where the contract declares how texts write them.

    Raises:
        ContractError: The values are such dates or times.
    """
    if wanted.formats and (pa.types.is_date(type_) or pa.types.is_time(type_) or pa.types.is_timestamp(type_)):
        raise ContractError(
            f"{column}: expected texts or numbers, because the contract declares the spelling of"
            f" {' and '.join(wanted.formats)}, found {type_}. Declare spelling=Spelling() for this column, which reads"
            " values of this type"
        )


def invalid_texts(array: Any) -> list[int]:
    """Return the rows with a string that is not UTF-8."""
    if array.type == _TEXT and _is_sound(array):
        return []
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        texts = array.values if array.type == LIST else array
        bad = _invalid(texts)
        if array.type != LIST:
            return bad
        lists = _compute().list_parent_indices(array).to_pylist()
        first = array.offsets[0].as_py() if len(array) else 0
        return sorted({lists[place - first] for place in bad if 0 <= place - first < len(lists)})
    return []


def _is_sound(texts: Any) -> bool:
    """Return whether all strings are UTF-8. The native test reads them at once, in a third of the time of Arrow's."""
    _, offsets, data = texts.buffers()
    if offsets is None or data is None or offsets.size < (texts.offset + len(texts) + 1) * 8:
        return False
    first = offsets.address + texts.offset * 8
    return bool(library.strings_are_utf8(first, len(texts), data.address, data.size))


def level_count(array: Any) -> int:
    """Return the number of entries in parquet: one for each string, and one for each empty or null list."""
    if array.type != LIST:
        return len(array)
    pc = _compute()
    lengths = pc.fill_null(pc.list_value_length(array), 1)
    return int(pc.sum(pc.max_element_wise(lengths, 1)).as_py() or 0)


def longest_of(texts: Any) -> int:
    """Return the length of the longest text in bytes."""
    is_large = pa.types.is_large_string(texts.type) or pa.types.is_large_binary(texts.type)
    if not len(texts):  # Arrow may omit the offsets of an empty array
        return 0
    first = texts.buffers()[1].address + texts.offset * (8 if is_large else 4)
    return int(library.strings_longest(first, len(texts), is_large))


def _invalid(texts: Any) -> list[int]:
    """Return the positions of the strings that are not UTF-8. This slow search is needed for few batches only."""
    return [place for place, text in enumerate(texts.view(pa.large_binary()).to_pylist()) if not _is_utf8(text)]


def _is_utf8(text: bytes | None) -> bool:
    try:
        (text or b"").decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_text(type_: pa.DataType) -> bool:
    return pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_)


def _is_list(type_: pa.DataType) -> bool:
    return pa.types.is_list(type_) or pa.types.is_large_list(type_)


def _is_binary(type_: pa.DataType) -> bool:
    return pa.types.is_binary(type_) or pa.types.is_large_binary(type_) or pa.types.is_fixed_size_binary(type_)


def _has_spelling(type_: pa.DataType) -> bool:
    kinds = (
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_boolean,
        pa.types.is_date,
        pa.types.is_time,
        pa.types.is_timestamp,
        pa.types.is_null,
    )
    return any(is_one(type_) for is_one in kinds)
