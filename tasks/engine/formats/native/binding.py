"""Binding of the functions in `native.h` with ctypes, which releases the GIL during a call."""

import ctypes
import os
from ctypes import POINTER, Structure, c_bool, c_char_p, c_int32, c_int64, c_uint8, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Any

from tasks.engine.formats.native import json_structs
from tasks.engine.formats.native.sources import sources_digest

FOLDER = Path(__file__).parent
BUILD = "run make install, or pip install --editable . with a C compiler on PATH"
LIBRARY = Path(os.environ.get("TALLY_NATIVE") or FOLDER / "library.abi3.so")

NEVER, ALWAYS, UNCLEAR = range(3)
"""When the derive callback computes a column's value: never, always, or if the type's parser cannot decide."""

ESCAPES_QUOTED, ESCAPES_ALL, ESCAPES_TEXT = range(3)
"""How the escape of a dialect counts, as `enum EscapeStyle`."""

VALID, QUOTE, WIDTH, NUL, UTF8, RETURN = range(6)
"""Errors of a record, as `enum RecordError`."""

COPY_GOING, COPY_DONE, COPY_FAILED = range(3)
"""States of a COPY TO STDOUT, as `enum CopyState`."""

MOST_CSV_BYTES = 0x3FFFFFFF
"""Maximum number of bytes of CSV in one call: SPAN_SIZE, because offsets and sizes share 32 bits with flags."""


class StringColumn(Structure):
    """The strings of one column."""

    _fields_ = (
        ("data", c_void_p),
        ("spans", c_void_p),
        ("stride", c_int64),
        ("offsets", c_void_p),
        ("validity", c_void_p),
        ("offset", c_int64),
        ("lists", c_void_p),
        ("has_list", c_void_p),
        ("list_offset", c_int64),
        ("arena", c_void_p),
        ("quote", c_uint8),
        ("escape", c_uint8),
        ("style", c_uint8),
    )


class Record(Structure):
    """A record of CSV."""

    _fields_ = (
        ("line", c_int64),
        ("begin", c_uint32),
        ("end", c_uint32),
        ("error", c_int32),
        ("fields", c_int32),
    )


class Dialect(Structure):
    """A dialect of CSV."""

    _fields_ = (
        ("delimiter", c_uint8),
        ("quote", c_uint8),
        ("escape", c_uint8),
        ("style", c_uint8),
        ("has_trailing", c_bool),
        ("has_short", c_bool),
        ("comment", c_char_p),
        ("comment_size", c_int64),
    )


class CsvInput(Structure):
    """The input of `csv_read`, and the limits of its output."""

    _fields_ = (
        ("data", c_void_p),
        ("size", c_int64),
        ("first_line", c_int64),
        ("places", POINTER(c_int32)),
        ("width", c_int32),
        ("wanted", c_int32),
        ("longest", c_int64),
        ("most_records", c_int64),
        ("most_bytes", c_int64),
        ("is_last", c_bool),
        ("is_open", c_bool),
        ("dialect", Dialect),
    )


class CsvRecords(Structure):
    """A group of records."""

    _fields_ = (
        ("row_count", c_int64),
        ("rejected_count", c_int64),
        ("consumed", c_int64),
        ("lines", c_int64),
        ("is_full", c_bool),
        ("is_endless", c_bool),
        ("is_open", c_bool),
        ("rows", POINTER(Record)),
        ("rejected", POINTER(Record)),
        ("spans", c_void_p),
    )


class Column(Structure):
    """A column of the table."""

    _fields_ = (
        ("type", c_char_p),
        ("source", c_int32),
        ("first", c_int32),
        ("after", c_int32),
        ("derive", c_int32),
        ("derived_null", c_char_p),
        ("derived_null_size", c_int64),
        ("is_nullable", c_bool),
        ("is_rounded", c_bool),
        ("nulls", c_char_p),
        ("null_sizes", c_uint64),
        ("null_count", c_int32),
        ("epoch", c_int32),
        ("thousands", c_char_p),
        ("decimal", c_int32),
        ("has_decimals", c_bool),
        ("is_base64", c_bool),
        ("format", c_char_p),
        ("is_packed", c_bool),
        ("kind", c_int32),
        ("precision", c_int32),
        ("scale", c_int32),
    )


class Lines(Structure):
    """Line numbers less `before`: 64-bit integers, `stride` bytes apart. Without numbers, the rows get no field."""

    _fields_ = (("numbers", c_void_p), ("stride", c_int64), ("before", c_int64))


class InvalidRow(Structure):
    """A row with an invalid or missing value."""

    _fields_ = (("row", c_int64), ("column", c_int32), ("is_missing", c_bool))


class Encoded(Structure):
    """Encoded rows of a binary COPY."""

    _fields_ = (
        ("row_count", c_int64),
        ("invalid_count", c_int64),
        ("out", c_void_p),
        ("out_size", c_int64),
        ("invalid", POINTER(InvalidRow)),
    )


class CopyOut(Structure):
    """A connection of libpq in a COPY TO STDOUT, and the functions of that libpq."""

    _fields_ = (
        ("connection", c_void_p),
        ("get", c_void_p),
        ("consume", c_void_p),
        ("socket", c_void_p),
        ("free", c_void_p),
        ("row", c_void_p),
        ("size", c_int64),
        ("taken", c_int64),
    )


DeriveCallback = ctypes.CFUNCTYPE(c_bool, c_int32, c_void_p, c_int64)
"""Callback that derives the value of a text in a column."""


STRUCTS = (
    StringColumn,
    Record,
    Dialect,
    CsvInput,
    CsvRecords,
    Column,
    Lines,
    InvalidRow,
    Encoded,
    CopyOut,
    *json_structs.STRUCTS,
)
"""The structs in the order of `native_size`."""


def _loaded() -> ctypes.CDLL:
    try:
        loaded = ctypes.CDLL(str(LIBRARY))
    except OSError as error:
        raise ImportError(
            f"expected the native library {LIBRARY}, but it could not be loaded: {error}. Compile it: {BUILD}"
        ) from error
    if mismatch := _mismatch(loaded):
        raise ImportError(
            f"the native library {LIBRARY} does not match this version of Tally: {mismatch}. Compile it again: {BUILD}"
        )
    return loaded


def _mismatch(loaded: ctypes.CDLL) -> str | None:
    """Describe the first difference between the library and this module. Return None if they match.

    A wheel contains no C sources. Its library comes from the same build as this module, so the sizes of the structs are
    the only check.
    """
    try:
        version, size = loaded.native_version, loaded.native_size
    except AttributeError:
        return "expected a library with native_version and native_size, found one without them"
    version.restype, size.restype = c_char_p, c_int64
    found, expected = (version() or b"").decode(errors="replace"), sources_digest(FOLDER)
    if expected and found != expected:
        return f"expected sources {expected[:12]}, found {found[:12]}"
    for place, struct in enumerate((*STRUCTS, None)):
        wanted = ctypes.sizeof(struct) if struct else 0
        if size(place) != wanted:
            name = struct.__name__ if struct else "one more struct"
            return f"expected {name} of {wanted} bytes, found {size(place)}"
    return None


FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "csv_read": (POINTER(CsvRecords), [POINTER(CsvInput)]),
    "csv_free": (None, [POINTER(CsvRecords)]),
    "column_type": (c_bool, [POINTER(Column)]),
    "text_hash": (c_uint64, [POINTER(c_uint64), c_char_p, c_int64]),
    "encoder_new": (c_void_p, [POINTER(Column), c_int32, c_char_p, c_int64, POINTER(c_uint64), DeriveCallback]),
    "encoder_free": (None, [c_void_p]),
    "encoder_encode": (POINTER(Encoded), [c_void_p, POINTER(StringColumn), POINTER(Lines), c_int64]),
    "encoder_store_derived": (c_bool, [c_void_p, c_char_p, c_int64]),
    "strings_size": (c_int64, [POINTER(StringColumn), c_int64]),
    "strings_longest": (c_int64, [c_void_p, c_int64, c_bool]),
    "strings_are_utf8": (c_bool, [c_void_p, c_int64, c_void_p, c_int64]),
    "page_longest": (c_int64, [c_char_p, c_int64]),
    "copy_out_read": (c_int64, [POINTER(CopyOut), c_void_p, c_int64, POINTER(c_int32)]),
    "copy_out_free": (None, [POINTER(CopyOut)]),
    **json_structs.FUNCTIONS,
    "strings_copy": (None, [POINTER(StringColumn), c_int64, POINTER(c_int64), POINTER(c_uint8), POINTER(c_uint8)]),
}
"""The result type and the argument types of each function."""

library = _loaded()
for _name, (_returned, _arguments) in FUNCTIONS.items():
    getattr(library, _name).restype, getattr(library, _name).argtypes = _returned, _arguments
