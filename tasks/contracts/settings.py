"""The settings that a pipeline declares: environment variables with a default."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tasks.contracts.keys import fields_of

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


def month_key(template: str) -> None:
    """Accept key templates of months: with year and month, perhaps with the day and hour of each file."""
    if not {"year", "month"} <= fields_of(template):
        raise ValueError("expected {year:04d} and {month:02d} in it, and {day:02d} for files of days")


def day_key(template: str) -> None:
    """Accept key templates of days: with year, month and day, perhaps with the hour of each file."""
    if not {"year", "month", "day"} <= fields_of(template):
        raise ValueError("expected {year:04d}, {month:02d} and {day:02d} in it")


def object_key(template: str) -> None:
    """Accept key templates of a dataset without partitions: with or without the fields of a date."""
    fields_of(template)


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
