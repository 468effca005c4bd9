"""The structs and functions of `json.h`."""

from ctypes import POINTER, Structure, c_bool, c_char, c_char_p, c_int32, c_int64, c_uint32, c_uint64, c_void_p
from enum import IntEnum
from typing import Any

LINES, ELEMENTS, GIVEN = range(3)
"""Where the records are: `enum JsonMode`."""


class JsonError(IntEnum):
    """Why a record is rejected: `enum JsonError`."""

    VALID = 0
    UTF8 = 1
    NOT_OBJECT = 2
    DEEP = 3
    MANY_KEYS = 4
    TWICE = 5
    WRONG_TYPE = 6
    TRUNCATED = 7
    CHARACTER = 8
    NUMBER = 9
    ESCAPE = 10
    UNICODE_ESCAPE = 11
    SURROGATE = 12
    KEY = 13
    COLON = 14
    OBJECT_NEXT = 15
    ARRAY_NEXT = 16
    OBJECT_COMMA = 17
    ARRAY_COMMA = 18
    TRAILING = 19


class JsonPlace(Structure):
    """A place in a record that a path names or leads through."""

    _fields_ = (
        ("key", c_char_p),
        ("size", c_int64),
        ("index", c_int32),
        ("parent", c_int32),
        ("last", c_int32),
        ("elements", c_int32),
        ("has_keys", c_bool),
        ("decimal", c_char),
    )


class JsonName(Structure):
    """A name of a source."""

    _fields_ = (("source", c_int32), ("place", c_int32))


class JsonUnknown(Structure):
    """A key that no source names."""

    _fields_ = (("key", c_void_p), ("size", c_int64), ("hash", c_uint64), ("place", c_int32))


class JsonKeys(Structure):
    """What the records so far contained."""

    _fields_ = (
        ("is_seen", POINTER(c_bool)),
        ("unknown", POINTER(JsonUnknown)),
        ("unknown_count", c_int64),
        ("has_object", c_bool),
    )


class JsonRecord(Structure):
    """A record."""

    _fields_ = (
        ("line", c_int64),
        ("begin", c_uint32),
        ("end", c_uint32),
        ("error", c_int32),
        ("first", c_int32),
        ("second", c_int32),
        ("kind", c_int32),
    )


class JsonInput(Structure):
    """The input of `json_read`, and the limits of its output."""

    _fields_ = (
        ("data", c_void_p),
        ("size", c_int64),
        ("first_line", c_int64),
        ("given", POINTER(c_uint32)),
        ("given_count", c_int64),
        ("longest", c_int64),
        ("most_records", c_int64),
        ("most_bytes", c_int64),
        ("mode", c_int32),
        ("is_last", c_bool),
        ("expects_value", c_bool),
    )


class JsonRecords(Structure):
    """A group of records."""

    _fields_ = (
        ("row_count", c_int64),
        ("rejected_count", c_int64),
        ("consumed", c_int64),
        ("lines", c_int64),
        ("is_full", c_bool),
        ("is_endless", c_bool),
        ("expects_value", c_bool),
        ("rows", POINTER(JsonRecord)),
        ("rejected", POINTER(JsonRecord)),
        ("spans", c_void_p),
        ("arena", c_void_p),
        ("keys", POINTER(JsonKeys)),
    )


STRUCTS = (JsonPlace, JsonName, JsonUnknown, JsonKeys, JsonRecord, JsonInput, JsonRecords)
"""The structs in the order of `native_size`."""

_PLAN = [POINTER(JsonPlace), c_int32, POINTER(JsonName), c_int32, c_int32, c_int64, c_int32, c_bool]
FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "json_plan_new": (c_void_p, _PLAN),
    "json_plan_free": (None, [c_void_p]),
    "json_read": (POINTER(JsonRecords), [c_void_p, POINTER(JsonInput)]),
    "json_free": (None, [POINTER(JsonRecords)]),
}
"""The result type and the argument types of each function."""
