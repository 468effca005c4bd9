"""Cases of the SQL: small CSV files in, the answer of the real query or the broken checks out.

A case is a folder `<schema>/<table>/test_<case>/`, whose address is that of a folder under `sql/`:

    <schema>.<table>.csv   rows of an input table, only the columns that matter; what is NOT NULL gets a neutral value.
                           Of the built table itself: the rows that stand there before, which a merge or an append goes
                           on from, and `touched.sql` may read.
    params.yaml            values of the queries' parameters
    expect.csv             rows afterwards: of the table (of all its partitions, in any order); of a query that fills no
                           table, in its order; of a view, the columns that are named
    expect_checks.yaml     checks that are broken afterwards, `- fail: <name>` or `- warn: <name>` with `rows: <count>`;
                           none where the file is missing. Without expect.csv, the checks meet the input as it is.

The CSV is Postgres' own: bare empty is null, `""` is the empty string, arrays are written `"{a,b}"`.
"""

import csv
import difflib
import importlib
import pkgutil
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import yaml
from psycopg import sql

import tasks.contracts
from tasks.contracts import Contract
from tasks.engine import sql_files
from tasks.engine.builder import run_checks
from tasks.engine.ddl import apply_ddl
from tasks.engine.dispositions import read_query, write_query, write_touched
from tasks.engine.errors import errors_at
from tasks.engine.sql_files import SqlTable
from tasks.engine.warehouse import Connection, table_name

CASES = Path(__file__).parent
OWN_FILES = {"params.yaml", "expect.csv", "expect_checks.yaml"}
NEUTRAL = {
    "bigint": "1",
    "boolean": "false",
    "bytea": "''",
    "date": "'2000-01-01'",
    "double precision": "1",
    "inet": "'192.0.2.1'",
    "integer": "1",
    "jsonb": "'{}'",
    "numeric": "1",
    "smallint": "1",
    "text": "'any'",
    "text[]": "'{}'",
    "time without time zone": "'00:00:00'",
    "timestamp with time zone": "'2000-01-01T00:00:00Z'",
    "timestamp without time zone": "'2000-01-01T00:00:00'",
    "uuid": "'00000000-0000-0000-0000-000000000000'",
}
_PLACEHOLDER = re.compile(r"%\((\w+)\)s")

Row = tuple[Any, ...]
Check = tuple[str, str, int]
"""Severity, name, and how many rows broke it."""


class CaseError(Exception):
    """The files of a case do not make one."""


@dataclass(frozen=True)
class Case:
    """One folder of files, held against one folder under `sql/`."""

    folder: Path
    root: Path = sql_files.ROOT

    @property
    def address(self) -> str:
        return f"{self.folder.parent.parent.name}.{self.folder.parent.name}"

    @cached_property
    def table(self) -> SqlTable:
        table = sql_files.sql_table(self.address, self.root)
        if not table.folder.is_dir():
            raise CaseError(f"{self.folder}: expected sql/{self.address.replace('.', '/')}/, which is not there")
        return table

    @cached_property
    def inputs(self) -> dict[str, Path]:
        """Input files by the table that they fill, each after those that it refers to."""
        paths = {path.stem: path for path in self.folder.glob("*.csv") if path.name not in OWN_FILES}
        sources = {name: sql_files.sql_table(name, self.root).sources for name in sorted(paths)}
        graph = {name: [source for source in needed if source in paths] for name, needed in sources.items()}
        return {name: paths[name] for name in TopologicalSorter(graph).static_order()}

    @cached_property
    def parameters(self) -> Mapping[str, Any]:
        path = self.folder / "params.yaml"
        given = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
        text = "".join(map(self.table.text, ("query.sql", "touched.sql", "checks.sql")))
        wanted = set(_PLACEHOLDER.findall(text))
        if not isinstance(given, dict) or set(given) != wanted:
            raise CaseError(f"{path}: expected the parameters {sorted(wanted)}, found {given}")
        return given

    @cached_property
    def expected_checks(self) -> list[Check]:
        path = self.folder / "expect_checks.yaml"
        if not path.exists():
            return []
        try:
            checks = []
            for entry in yaml.safe_load(path.read_text(encoding="utf-8")):
                rows = entry.pop("rows")
                ((severity, name),) = entry.items()
                checks.append((str(severity), str(name), int(rows)))
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise CaseError(f"{path}: expected a list of `- fail: <name>` with `rows: <count>`: {error!r}") from error
        return checks

    @property
    def has_answer(self) -> bool:
        return (self.folder / "expect.csv").exists()

    def validate(self) -> None:
        """Refuse a folder that would test something else than its writer meant."""
        names = {path.name for path in self.folder.iterdir()}
        strange = {n for n in names - OWN_FILES if not re.fullmatch(r"\w+\.\w+\.csv", n)}
        if strange:
            raise CaseError(f"{self.folder}: expected {sorted(OWN_FILES)} and <schema>.<table>.csv, found {strange}")
        if not names & {"expect.csv", "expect_checks.yaml"}:
            raise CaseError(f"{self.folder}: expected expect.csv or expect_checks.yaml, found neither")


def contracts() -> list[Contract]:
    """Every contract of the project, whichever module of `tasks.contracts` it stands in."""
    names = [module.name for module in pkgutil.iter_modules(tasks.contracts.__path__, "tasks.contracts.")]
    values = [value for name in names for value in vars(importlib.import_module(name)).values()]
    return list({value.table: value for value in values if isinstance(value, Contract)}.values())


def schemas(root: Path = sql_files.ROOT) -> list[str]:
    """Every schema that has a table of its own."""
    return sorted({path.parent.parent.name for path in root.glob("*/*/table.sql")} - {"ledger"})


def create_tables(connection: Connection) -> None:
    """The real DDL, and for each partitioned staging table one partition that takes every month."""
    apply_ddl(connection, contracts(), schemas())
    for contract in contracts():
        if contract.partition:
            connection.execute(
                sql.SQL("CREATE TABLE {} PARTITION OF {} DEFAULT").format(
                    table_name(f"{contract.table}_any"), table_name(contract.table)
                )
            )


def locale_ordered_columns(query: sql.SQL, parameters: Mapping[str, Any], connection: Connection) -> list[str]:
    """Columns of text that a query's last ORDER BY sorts in the order of the database's locale."""
    described = connection.execute(sql.SQL("SELECT * FROM ({}) AS q LIMIT 0").format(query), parameters).description
    names = [column.name for column in described or () if column.type_display == "text"]
    _, order_by, rest = query.as_string(connection).rpartition("ORDER BY")
    keys = rest.partition("LIMIT")[0]  # of a subquery, what follows is no key
    return [name for name in names if order_by and re.search(rf'\b{name}\b(?! COLLATE "C")', keys)]


def run(case: Case, connection: Connection) -> None:
    """Run a case in the caller's transaction.

    Raises:
        AssertionError: The answer or the broken checks are others than those expected; the message shows a diff.
        CaseError: The case's files are wrong.
    """
    case.validate()
    for name, path in case.inputs.items():
        _fill(connection, name, path)
    if case.table.text("query.sql") and case.table.text("table.sql"):
        write_touched(connection, case.table, case.parameters)
    if case.has_answer:
        _compare(case, *_answer(case, connection))
    found = run_checks(connection, case.table, case.parameters)
    broken = [(check.severity, check.name, check.broken_count) for check in found]
    if broken != case.expected_checks:
        examples = "".join(f"\n  {check.name}: {'; '.join(check.examples)}" for check in found)
        raise AssertionError(f"{case.folder}: expected broken {case.expected_checks}, found {broken}{examples}")


def _header(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        header = next(csv.reader(file), None)
    if not header:
        raise CaseError(f"{path}: expected a header with the columns' names, found an empty file")
    return header


def _identifiers(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def _copy(connection: Connection, table: str, path: Path) -> None:
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv, HEADER)").format(
        table_name(table), _identifiers(_header(path))
    )
    with errors_at(str(path)), connection.cursor().copy(statement) as copy:
        copy.write(path.read_bytes())


def _fill(connection: Connection, table: str, path: Path) -> None:
    if connection.execute("SELECT to_regclass(%s)", [table]).fetchone() == (None,):
        raise CaseError(f"{path}: expected a file that is called after a table, but there is no table {table}")
    needed = connection.execute(
        "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
        " AND attnotnull AND NOT atthasdef AND attidentity = '' AND attname <> ALL(%s)",
        [table, _header(path)],
    )
    for column, kind in needed.fetchall():
        if kind not in NEUTRAL:
            raise CaseError(f"{path}: give column {column}: no neutral value is known for type {kind}")
        connection.execute(
            sql.SQL("ALTER TABLE {} ALTER {} SET DEFAULT ").format(table_name(table), sql.Identifier(column))
            + sql.SQL(NEUTRAL[kind])
        )
    _copy(connection, table, path)


def _answer(case: Case, connection: Connection) -> tuple[list[Row], list[Row]]:
    """What is expected and what is found, typed alike, in the order in which they are compared."""
    path, table = case.folder / "expect.csv", case.table
    header = _header(path)
    if not table.text("query.sql"):
        relation: sql.Composable = sql.SQL("SELECT {} FROM {}").format(_identifiers(header), table_name(table.name))
    else:
        relation = table.query
    with errors_at(str(path)):
        # TEMP shadows nothing: the project's tables are always named with their schema.
        connection.execute(
            sql.SQL("CREATE TEMP TABLE expected ON COMMIT DROP AS SELECT * FROM ({}) AS q LIMIT 0").format(relation),
            case.parameters,
        )
        described = connection.execute("SELECT * FROM expected").description or ()
        columns = [column.name for column in described]
        if header != columns:
            raise CaseError(f"{path}: expected the query's columns {columns} in the header, found {header}")
        connection.execute("ALTER TABLE expected ADD line_number bigint GENERATED ALWAYS AS IDENTITY")
    _copy(connection, "expected", path)
    selected = sql.SQL("SELECT {} FROM {}")
    by_line = selected.format(_identifiers(columns), sql.Identifier("expected")) + sql.SQL(" ORDER BY line_number")
    expected = connection.execute(by_line).fetchall()
    if not table.text("table.sql"):
        return expected, read_query(connection, table, case.parameters)
    if table.text("query.sql"):
        write_query(connection, table, case.parameters)
    found = connection.execute(selected.format(_identifiers(columns), table_name(table.name))).fetchall()
    return sorted(expected, key=_line), sorted(found, key=_line)


def _line(row: Row) -> str:
    """A row as the CSV of the case would write it; a quoted value is the empty string."""
    return ",".join("" if value is None else '""' if value == "" else str(value) for value in row)


def _compare(case: Case, expected: Sequence[Row], found: Sequence[Row]) -> None:
    if expected != found:
        lines = list(map(_line, expected)), list(map(_line, found))
        found_in = f"sql/{case.address.replace('.', '/')}"
        diff = "\n".join(difflib.unified_diff(*lines, "expect.csv", found_in, lineterm=""))
        raise AssertionError(f"{case.folder}: the answer differs\n{diff}")
