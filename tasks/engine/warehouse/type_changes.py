"""Which change of a column's type is a widening: it keeps every value, its order and its text."""

import re

_INTEGERS = ("smallint", "integer", "bigint")
_WIDER_INTEGERS = {(narrow, wide) for place, narrow in enumerate(_INTEGERS) for wide in _INTEGERS[place + 1 :]}
_NUMERIC = re.compile(r"numeric(?:\((\d+),(\d+)\))?$")
_VARCHAR = re.compile(r"character varying(?:\((\d+)\))?$")
_CLOCK = re.compile(r"(timestamp|time)(?:\((\d)\))?( with(?:out)? time zone)$")


def is_widening(found: str, wanted: str) -> bool:
    """Whether every value of one type is the same value of another, as `format_type` prints the types.

    An array widens if its elements do. A change that alters a meaning is not a widening: a numeric divides differently
    than an integer, a date that becomes a timestamp gains a time of day, and char(n) compares trailing blanks
    differently than text.
    """
    if found.endswith("[]") and wanted.endswith("[]"):
        return is_widening(found.removesuffix("[]"), wanted.removesuffix("[]"))
    if (found, wanted) in _WIDER_INTEGERS:
        return True
    return _numeric_widens(found, wanted) or _varchar_widens(found, wanted) or _clock_widens(found, wanted)


def _numeric_widens(found: str, wanted: str) -> bool:
    old, new = _NUMERIC.match(found), _NUMERIC.match(wanted)
    if not (old and new) or old[1] is None:
        return False
    if new[1] is None:
        return True
    return int(new[2]) >= int(old[2]) and int(new[1]) - int(new[2]) >= int(old[1]) - int(old[2])


def _varchar_widens(found: str, wanted: str) -> bool:
    old, new = _VARCHAR.match(found), _VARCHAR.match(wanted)
    if old is None or new is None:
        return old is not None and wanted == "text"
    return new[1] is None or (old[1] is not None and int(new[1]) >= int(old[1]))


def _clock_widens(found: str, wanted: str) -> bool:
    old, new = _CLOCK.match(found), _CLOCK.match(wanted)
    if not (old and new) or (old[1], old[3]) != (new[1], new[3]):
        return False
    return int(new[2] or 6) >= int(old[2] or 6)
