"""The settings that a pipeline declares: environment variables with a default."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from string import Formatter

Check = Callable[[str], None]
"""Raises ValueError with the expected form if a value is invalid."""


def any_value(value: str) -> None:
    """Accept every value."""


def at_least(characters: int) -> Check:
    """Accept values with at least this number of characters."""

    def check(value: str) -> None:
        if len(value) < characters:
            raise ValueError(f"expected at least {characters} characters")

    return check


def _fields(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name is not None}


def month_key(template: str) -> None:
    """Accept key templates of months: with year and month, and with day if a month has a file for each day."""
    if not {"year", "month"} <= _fields(template) <= {"year", "month", "day"}:
        raise ValueError("expected {year:04d} and {month:02d} in it, and {day:02d} for files of days")


def day_key(template: str) -> None:
    """Accept key templates of days: with year, month and day."""
    if _fields(template) != {"year", "month", "day"}:
        raise ValueError("expected {year:04d}, {month:02d} and {day:02d} in it")


@dataclass(frozen=True)
class Setting:
    """A value that an environment variable can override.

    Attributes:
        variable: Name of the environment variable.
        default: The value if the variable is not set or is empty.
        meaning: What the value is, for errors and documents.
        check: Raises ValueError if the value is invalid.
    """

    variable: str
    default: str
    meaning: str
    check: Check = any_value

    def value_in(self, environ: Mapping[str, str]) -> str:
        """Return the value of the variable without surrounding spaces, else the default.

        Raises:
            ValueError: The value is invalid.
        """
        value = (environ.get(self.variable) or self.default).strip()
        self.check(value)
        return value
