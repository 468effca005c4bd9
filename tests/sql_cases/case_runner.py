"""Runs SQL cases: fills the input tables, builds the table, and compares the answer and the broken checks."""

import difflib
import importlib
import pkgutil
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from psycopg import sql
from sql_cases.case_files import Case, CaseError, Rows, format_row

import tasks.contracts
from tasks.contracts import Contract
from tasks.engine.build import sql_files
from tasks.engine.build.checks import run_checks
from tasks.engine.build.dispositions import read_query, write_affected_keys, write_query
from tasks.engine.errors import errors_at
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.warehouse.tables import Connection, table_name

CASES = Path(__file__).parent
LOCALE_CHECK = "the database's locale lower-cases ASCII letters only (create the database with a UTF-8 locale)"
"""This check reads the database's locale and no rows, so no case can break it."""

NEUTRAL = {
    "bigint": "1",
    "boolean": "false",
    "bytea": "",
    "date": "2000-01-01",
    "double precision": "1",
    "inet": "192.0.2.1",
    "integer": "1",
    "jsonb": "{}",
    "numeric": "1",
    "smallint": "1",
    "text": "any",
    "text[]": "{}",
    "time without time zone": "00:00:00",
    "timestamp with time zone": "2000-01-01T00:00:00Z",
    "timestamp without time zone": "2000-01-01T00:00:00",
    "uuid": "00000000-0000-0000-0000-000000000000",
}
"""The text that fills a NOT NULL column that a case leaves out, by type."""

Row = tuple[Any, ...]


def contracts() -> list[Contract]:
    """Every contract of the project, in any module of `tasks.contracts`."""
    names = [module.name for module in pkgutil.iter_modules(tasks.contracts.__path__, "tasks.contracts.")]
    values = [value for name in names for value in vars(importlib.import_module(name)).values()]
    return list({value.table: value for value in values if isinstance(value, Contract)}.values())


def schemas(root: Path = sql_files.ROOT) -> list[str]:
    """Every schema that has a table of its own."""
    return sorted({path.parent.parent.name for path in root.glob("*/*/table.sql")} - {"ledger"})


def create_tables(
    connection: Connection, declared: Sequence[Contract] | None = None, root: Path = sql_files.ROOT
) -> None:
    """Apply the real DDL, and give each partitioned staging table one partition that takes every month."""
    declared = contracts() if declared is None else declared
    apply_ddl(connection, declared, schemas(root), root)
    for contract in declared:
        if contract.partition:
            connection.execute(
                sql.SQL("CREATE TABLE {} PARTITION OF {} DEFAULT").format(
                    table_name(f"{contract.table}_any"), table_name(contract.table)
                )
            )


def locale_ordered_columns(query: sql.SQL, parameters: Mapping[str, Any], connection: Connection) -> list[str]:
    """Text columns that a query's last ORDER BY sorts by the database's locale."""
    described = connection.execute(sql.SQL("SELECT * FROM ({}) AS q LIMIT 0").format(query), parameters).description
    names = [column.name for column in described or () if column.type_display == "text"]
    _, order_by, rest = query.as_string(connection).rpartition("ORDER BY")
    keys = rest.partition("LIMIT")[0]  # nothing after LIMIT is a key of a subquery's order
    return [name for name in names if order_by and re.search(rf'\b{name}\b(?! COLLATE "C")', keys)]


def run(case: Case, connection: Connection) -> None:
    """Run a case in the caller's transaction.

    Raises:
        AssertionError: The answer or the broken checks differ from the expected ones; the message shows a diff.
        CaseError: The file is not a valid case.
    """
    for name, rows in case.inputs.items():
        _fill(connection, name, rows, f"{case.path}: input {name}")
    if case.table.text("query.sql") and case.table.text("table.sql"):
        write_affected_keys(connection, case.table, case.parameters)
    if case.expected is not None:
        _compare(case, *_answer(case, case.expected, connection))
    found = run_checks(connection, case.table, case.parameters)
    broken = [(check.severity, check.name, check.broken_count) for check in found]
    if broken != case.expected_checks:
        examples = "".join(f"\n  {check.name}: {'; '.join(check.examples)}" for check in found)
        raise AssertionError(f"{case.path}: expected broken {case.expected_checks}, found {broken}{examples}")


def _identifiers(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def _copy(connection: Connection, table: str, rows: Rows) -> None:
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(table_name(table), _identifiers(rows.columns))
    with connection.cursor().copy(statement) as copy:
        for row in rows.cells:
            copy.write_row(row)


def _fill(connection: Connection, table: str, rows: Rows, where: str) -> None:
    if connection.execute("SELECT to_regclass(%s)", [table]).fetchone() == (None,):
        raise CaseError(f"{where}: expected the name of a table, but no such table exists")
    needed = connection.execute(
        "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
        " AND attnotnull AND NOT atthasdef AND attidentity = '' AND attname <> ALL(%s)",
        [table, list(rows.columns)],
    ).fetchall()
    if unknown := [f"{column} ({kind})" for column, kind in needed if kind not in NEUTRAL]:
        raise CaseError(f"{where}: add the columns {unknown}: no neutral value is known for their types")
    columns = (*rows.columns, *(column for column, _ in needed))
    neutral = tuple(NEUTRAL[kind] for _, kind in needed)
    with errors_at(where):
        _copy(connection, table, Rows(columns, tuple((*row, *neutral) for row in rows.cells)))


def _answer(case: Case, rows: Rows, connection: Connection) -> tuple[list[Row], list[Row]]:
    """The expected and the found rows, with equal types, in the order in which they are compared."""
    where, table = f"{case.path}: expect", case.table
    if not table.text("query.sql"):
        relation: sql.Composable = sql.SQL("SELECT {} FROM {}").format(
            _identifiers(rows.columns), table_name(table.name)
        )
    else:
        relation = table.query
    if case.snapshot:  # the build adds two columns
        relation = sql.SQL("SELECT q.*, t.valid_from, t.valid_to FROM ({}) AS q CROSS JOIN {} AS t").format(
            table.query, table_name(table.name)
        )
    with errors_at(where):
        # The temporary table hides no other one: the project's SQL names each table with its schema.
        connection.execute(
            sql.SQL("CREATE TEMP TABLE expected ON COMMIT DROP AS SELECT * FROM ({}) AS q LIMIT 0").format(relation),
            case.parameters,
        )
        described = connection.execute("SELECT * FROM expected").description or ()
        columns = tuple(column.name for column in described)
        if rows.columns != columns:
            raise CaseError(f"{where}: expected the query's columns {columns} in the header, found {rows.columns}")
        connection.execute("ALTER TABLE expected ADD case_line bigint GENERATED ALWAYS AS IDENTITY")
        _copy(connection, "expected", rows)
    selected = sql.SQL("SELECT {} FROM {}")
    by_line = selected.format(_identifiers(columns), sql.Identifier("expected")) + sql.SQL(" ORDER BY case_line")
    expected = connection.execute(by_line).fetchall()
    if not table.text("table.sql"):
        return expected, read_query(connection, table, case.parameters)
    if table.text("query.sql"):
        write_query(connection, table, case.parameters, case.snapshot)
    found = connection.execute(selected.format(_identifiers(columns), table_name(table.name))).fetchall()
    return sorted(expected, key=format_row), sorted(found, key=format_row)


def _compare(case: Case, expected: Sequence[Row], found: Sequence[Row]) -> None:
    if expected != found:
        lines = list(map(format_row, expected)), list(map(format_row, found))
        found_in = f"sql/{case.address.replace('.', '/')}"
        diff = "\n".join(difflib.unified_diff(*lines, "expect", found_in, lineterm=""))
        raise AssertionError(f"{case.path}: the answer differs\n{diff}")
