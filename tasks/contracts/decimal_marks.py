"""Decimal marks of the sources of a contract."""

from collections.abc import Sequence

from tasks.contracts.columns import Column
from tasks.contracts.spelt_types import NUMBERS


def decimal_of(columns: Sequence[Column]) -> str:
    """Return the decimal mark of the numbers in a source: the declared one if each of its columns stores numbers."""
    marks = {column.spelling.decimal for column in columns if column.spelling and _is_spelt_number(column)}
    return marks.pop() if len(marks) == 1 and all(map(_is_spelt_number, columns)) else "."


def decimals_of(columns: Sequence[Column]) -> dict[str, str]:
    """Return the decimal mark of each source in which it is not a point."""
    readers: dict[str, list[Column]] = {}
    for column in columns:
        readers.setdefault(column.source_name, []).append(column)
    marks = {source: decimal_of(found) for source, found in readers.items()}
    return {source: mark for source, mark in marks.items() if mark != "."}


def _is_spelt_number(column: Column) -> bool:
    return not column.type.derive and not column.derive and column.type.postgres.partition("(")[0] in NUMBERS
