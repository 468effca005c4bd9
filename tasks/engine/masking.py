"""Masking: keeps personal data out of every text that leaves the ledger, such as messages, log lines and artifacts.

A contract marks the columns with personal data (`Column.sensitive`). A raw record of such a dataset is never shown,
because a malformed record cannot be split reliably: its line number and its reason lead to it in the ledger.
Postgres and its driver quote values in their errors, so their texts are masked for every dataset.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from datetime import date, time
from decimal import Decimal
from functools import cache
from typing import Any
from uuid import UUID

import psycopg

from tasks.contracts import Contract
from tasks.engine.quoting import VALUE_LIMIT, listed, quoted, shown

HIDDEN = "(hidden)"
"""Stands for a value that may be personal data."""

DATA_CLASSES = ("22", "23")
"""Classes of SQLSTATEs whose messages quote values of rows: data exceptions and violated constraints."""

_PLAIN = bool | int | float | Decimal | date | time | UUID
"""Values that are not personal unless their column is sensitive. A `datetime` is a `date`."""

_KEY = re.compile(r"\((?P<names>[^)]*)\)=\((?P<values>.*)\)", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,62}")
_PLAIN_VALUES = re.compile(r"[0-9.,:+ TZ-]+")
_CONTEXT = (
    (re.compile(r'(, column [^:\n]*|COPY [^:\n]*, line \d+): ".*', re.DOTALL), r"\1: " + HIDDEN),
    (re.compile(r"(JSON data, line \d+): .*", re.DOTALL), r"\1: " + HIDDEN),
    (re.compile(r"(\$\d+) = .*", re.DOTALL), r"\1 = " + HIDDEN),
)


def masked_record(contract: Contract, raw: bytes) -> str:
    """Show a raw record in quotes, or say that the record is hidden.

    Args:
        contract: The contract of the record's dataset.
        raw: The bytes.
    """
    return HIDDEN if contract.is_sensitive else quoted(raw)


def masked_names(contract: Contract, found: Sequence[str]) -> str:
    """List the column names of an object, or say how many there are.

    The first line of an object without a header is a row. The names of a dataset with sensitive columns are therefore
    shown only if at least half of the expected names are among them.

    Args:
        contract: The contract of the object's dataset.
        found: The names.
    """
    return listed(found) if may_show_names(contract, found) or not found else f"{len(found):,} texts {HIDDEN}"


def may_show_names(contract: Contract, found: Sequence[str]) -> bool:
    """Return whether the column names of an object may be shown: see `masked_names`."""
    if not contract.is_sensitive:
        return True
    given = {_letters(name) for name in found}
    expected = [{_letters(name) for name in (source, *aliases)} for source, aliases in contract.sources.items()]
    return 2 * sum(bool(names & given) for names in expected) >= len(expected)


def masked_name(contract: Contract, found: str) -> str:
    """Show the name of an undeclared column; the key of a JSON record may itself be personal data.

    Args:
        contract: The contract of the object's dataset.
        found: The name.
    """
    return HIDDEN if contract.is_sensitive and not _NAME.fullmatch(found) else shown(found)


def _letters(name: str) -> str:
    return re.sub(r"[\W_]+", "", name[:VALUE_LIMIT].lower())


def masked_example(names: Sequence[str], values: Sequence[Any], harmless: Collection[str] = ()) -> str:
    """Show the row of a check, such as `order_id 5, email (hidden)`.

    A value is hidden if a contract marks a column with this name as sensitive. A text is also hidden if no contract
    declares a column with this name.

    Args:
        names: Names of the columns.
        values: Values of the columns.
        harmless: Names of further columns that contain no personal data.
    """
    sensitive, declared = declared_columns()
    known = declared | set(harmless)
    cells = (
        (name, HIDDEN if name in sensitive else _cell(value, is_known=name in known))
        for name, value in zip(names, values, strict=True)
    )
    return ", ".join(f"{name} {cell}" for name, cell in cells)


def _cell(value: Any, *, is_known: bool) -> str:
    if value is None:
        return "null"
    if not (isinstance(value, _PLAIN) or is_known):
        return HIDDEN
    return shown(str(value)) if isinstance(value, _PLAIN) else quoted(str(value))


@cache
def declared_columns() -> tuple[frozenset[str], frozenset[str]]:
    """Return the names of the sensitive columns of all contracts, and the names of all other columns."""
    from tasks.contracts.catalog import contracts  # noqa: PLC0415 - imports every pipeline, which errors alone need

    columns = [column for contract in contracts().values() for column in contract.columns]
    sensitive = {name for column in columns if column.sensitive for name in (column.name, column.source_name)}
    return frozenset(sensitive), frozenset(column.name for column in columns) - sensitive


def shown_datasets() -> list[str]:
    """Return the datasets without sensitive columns, whose raw records may be shown. Other datasets are unknown."""
    from tasks.contracts.catalog import contracts  # noqa: PLC0415 - imports every pipeline

    return [dataset for dataset, contract in contracts().items() if not contract.is_sensitive]


def detail_of(error: psycopg.Error) -> tuple[str, list[str]]:
    """Return the primary message of an error, and its detail, context and hint, without values of rows."""
    diag, is_data = error.diag, (error.sqlstate or "")[:2] in DATA_CLASSES
    primary = diag.message_primary or str(error).strip().replace("\n\t", ". ")
    detail = diag.message_detail or ""
    if is_data or isinstance(error, psycopg.DataError):
        primary = primary if (error.sqlstate or "").startswith("23") else _without_quotes(primary)
        detail = _without_values(detail)
    return primary, [part for part in (detail, context_of(diag.context or ""), diag.message_hint or "") if part]


def _without_quotes(text: str) -> str:
    return re.sub(r'(?<!encoding )"[^"]*"', HIDDEN, re.sub(r': ".*"', f": {HIDDEN}", text, flags=re.DOTALL))


def _without_values(detail: str) -> str:
    if found := _KEY.search(detail):
        names = {name.strip(' "') for name in found["names"].split(",")}
        if not names & declared_columns()[0] and _PLAIN_VALUES.fullmatch(found["values"]):
            return detail
        return f"{detail[: found.start('values')]}{HIDDEN}{detail[found.end('values') :]}"
    return _without_quotes(re.sub(r"row contains \(.*\)", f"row contains {HIDDEN}", detail, flags=re.DOTALL))


def context_of(text: str) -> str:
    """Return the context of an error of Postgres without values of rows."""
    for pattern, replacement in _CONTEXT:
        text = pattern.sub(replacement, text)
    return text


def mask_errors(error: BaseException) -> None:
    """Mask the texts of an error and of its causes, so that a traceback shows no value of a row."""
    for one in _chain(error):
        if isinstance(one, psycopg.Error):
            _mask(one, one)
        elif isinstance(driver := getattr(one, "orig", None), psycopg.Error):  # SQLAlchemy repeats the driver's text
            _mask(one, driver)
            one.hide_parameters = True  # type: ignore[attr-defined]


def _mask(error: BaseException, driver: psycopg.Error) -> None:
    if driver.diag.message_primary:  # an error of the server, not of the client
        primary, parts = detail_of(driver)
        error.args = ("\n".join([primary, *parts]),)
    elif isinstance(driver, psycopg.DataError):
        error.args = (_without_quotes(str(driver)),)


def _chain(error: BaseException) -> Iterator[BaseException]:
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [link for link in (one.__cause__, one.__context__) if link]
            waiting += one.exceptions if isinstance(one, BaseExceptionGroup) else ()
