"""Conversion of parquet values into strings."""

import re
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from tasks.contracts import Contract
from tasks.contracts.paths import steps_of
from tasks.contracts.words import WORDS
from tasks.engine.errors import ContractError

_TEXT = pa.large_string()
LIST = pa.large_list(_TEXT)
_FIXED_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")
_UUID = "arrow.uuid"


def wants_lists(contract: Contract) -> set[str]:
    """Return the sources with values that may be lists of strings."""
    return {column.source_name for column in contract.columns if column.type == WORDS}


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


def text_array(values: Any, written: pa.DataType, column: str, *, takes_lists: bool) -> Any:
    """Convert values into large strings in ISO notation, or lists of strings into large lists of large strings.

    Args:
        values: Values with parquet's own type.
        written: The writer's type of these values.
        column: Name of the object and of its column, for the message.
        takes_lists: Whether the column accepts lists of strings.

    Raises:
        ContractError: The type cannot be converted.
    """
    if isinstance(values, pa.ExtensionArray):
        is_uuid = values.type.extension_name == _UUID
        values = values.storage
        if is_uuid:  # a UUID is valid without hyphens
            return pl.Series(values.cast(pa.large_binary())).bin.encode("hex").to_arrow().cast(_TEXT)
    if _is_text(values.type):
        return values.cast(_TEXT)
    if takes_lists and _is_list(values.type) and _is_text(values.type.value_type):
        return values.cast(LIST)
    if pa.types.is_decimal(values.type):
        return values.cast(_TEXT)
    if pa.types.is_duration(written) or not _has_spelling(values.type):
        lists = ", a list of strings" if takes_lists else ""
        raise ContractError(
            f"{column}: expected text{lists}, a time or a number, found {written}."
            " Write the object with one of these types"
        )
    return _spelt(pl.Series(values), written, column).to_arrow().cast(_TEXT)


def invalid_texts(array: Any) -> list[int]:
    """Return the rows with a string that is not UTF-8."""
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        texts = array.values if array.type == LIST else array
        bad = _invalid(texts)
        if array.type != LIST:
            return bad
        lists = pc.list_parent_indices(array).to_pylist()
        first = array.offsets[0].as_py() if len(array) else 0
        return sorted({lists[place - first] for place in bad if 0 <= place - first < len(lists)})
    return []


def level_count(array: Any) -> int:
    """Return the number of entries in parquet: one for each string, and one for each empty or null list."""
    if array.type != LIST:
        return len(array)
    lengths = pc.fill_null(pc.list_value_length(array), 1)
    return int(pc.sum(pc.max_element_wise(lengths, 1)).as_py() or 0)


def longest_of(texts: Any) -> int:
    """Return the length of the longest text in bytes."""
    return int(pc.max(pc.binary_length(texts)).as_py() or 0)


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


def _spelt(values: pl.Series, written: pa.DataType, column: str) -> pl.Series:
    if not isinstance(values.dtype, pl.Datetime):
        return values.cast(pl.String)
    zone = written.tz if pa.types.is_timestamp(written) else None
    clock = "%Y-%m-%dT%H:%M:%S%.6f"
    if values.dtype.time_zone is None or zone is None:
        return values.dt.to_string(clock)
    local = values.dt.replace_time_zone(None)
    if fixed := _FIXED_OFFSET.fullmatch(zone):
        sign, hours, minutes = fixed.groups()
        offset = int(hours) * 60 + int(minutes)
        moved = local + pl.duration(minutes=offset if sign == "+" else -offset)
        shifted = pl.select(moved).to_series()
        return shifted.dt.to_string(f"{clock}{sign}{hours}:{minutes}")
    try:
        # Historical offsets may have seconds.
        return values.dt.convert_time_zone(zone).dt.to_string(f"{clock}%::z")
    except pl.exceptions.PolarsError as error:
        raise ContractError(
            f"{column}: expected times in a known time zone, found {zone!r}. Write the object in UTC"
        ) from error
