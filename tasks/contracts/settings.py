"""The settings that a pipeline declares: environment variables with a default."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

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
    """Accept key templates of months: with year and month, perhaps with the day and hour of each file.

    Raises:
        ValueError: The template lacks the year or the month, or `fields_of` refuses it.
    """
    if not {"year", "month"} <= fields_of(template):
        raise ValueError("expected {year:04d} and {month:02d} in it, and {day:02d} for files of days")


def day_key(template: str) -> None:
    """Accept key templates of days: with year, month and day, perhaps with the hour of each file.

    Raises:
        ValueError: The template lacks the year, the month or the day, or `fields_of` refuses it.
    """
    if not {"year", "month", "day"} <= fields_of(template):
        raise ValueError("expected {year:04d}, {month:02d} and {day:02d} in it")


def object_key(template: str) -> None:
    """Accept key templates of a dataset without partitions: with or without the fields of a date.

    Raises:
        ValueError: `fields_of` refuses the template.
    """
    fields_of(template)


KEY_CHECKS: Mapping[str, Check] = {"month": month_key, "day": day_key}
"""The check of key templates, by the unit of the partitions."""


@dataclass(frozen=True)
class _Both:
    """Two checks that a value must pass. Equal checks are equal, so equal settings are equal."""

    first: Check
    second: Check

    def __call__(self, value: str) -> None:
        self.first(value)
        self.second(value)


@dataclass(frozen=True)
class Setting:
    """A value that an environment variable can override.

    Attributes:
        variable: Name of the environment variable.
        default: The value if the variable is not set or is empty.
        meaning: What the value is, for errors and documents.
        check: Raises ValueError if the value is invalid.
        is_derived: Whether the name of the variable derives from the name of a dataset. The documents describe these
            names with one rule and need not list them.
    """

    variable: str
    default: str
    meaning: str
    check: Check = any_value
    is_derived: bool = False

    def value_in(self, environ: Mapping[str, str]) -> str:
        """Return the value of the variable without surrounding spaces, else the default.

        Raises:
            ValueError: The value is invalid.
        """
        value = (environ.get(self.variable) or self.default).strip()
        self.check(value)
        return value


Field = Literal["prefix", "key", "bucket"]
"""A field of a contract that the environment can override."""


def variable_of(dataset: str, field: Field) -> str:
    """Return the name of the variable that overrides a field of a contract, such as `FLIGHTS_PREFIX`."""
    return f"{dataset.upper().replace('-', '_')}_{field.upper()}"


def setting_of(dataset: str, field: Field, declared: Setting | str, check: Check = any_value) -> Setting:
    """Return the setting of a field of a contract.

    Args:
        dataset: Name of the dataset.
        field: The field.
        declared: The value of the field in the contract: a setting, or a default for the variable `variable_of`.
        check: A check of the value, besides the check of a declared setting.

    Raises:
        ValueError: The default is invalid.
    """
    if isinstance(declared, Setting):
        setting = replace(declared, check=_combined(declared.check, check))
    else:
        meaning = f"The {field} of the objects of dataset {dataset}"
        setting = Setting(variable_of(dataset, field), declared, meaning, check, is_derived=True)
    try:
        setting.value_in({})
    except ValueError as error:
        raise ValueError(
            f"contract {dataset}, {field}: {error}, found {setting.default!r}. Correct the contract"
        ) from None
    return setting


def _combined(own: Check, other: Check) -> Check:
    if own in (any_value, other):
        return other
    return own if other is any_value else _Both(own, other)
