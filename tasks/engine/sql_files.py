"""The files under `sql/`: their headers, their order, and the writes that the runner owns.

A table's address is its path, `sql/<schema>/<table>/`: `table.sql` is idempotent DDL, `query.sql` one SELECT,
`checks.sql` assertions. Each begins with a header of `-- key: value` lines. The query never writes: its header's write
disposition says what the runner replaces.
"""

import hashlib
import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from psycopg import sql

from tasks.contracts import Contract
from tasks.engine import ledger
from tasks.engine.errors import CheckError, SqlFileError, errors_at
from tasks.engine.receipts import BuildReceipt, CheckResult
from tasks.engine.warehouse import Connection, count_rows, has_schema, has_table, lock, staging_ddl, table_name

ROOT = Path(__file__).parents[2] / "sql"
HEADER_KEYS = ("grain", "key", "parameters", "sources", "write disposition", "rules")

_HEADER_LINE = re.compile(r"^-- ([a-z ]+): *(.*)$")
_CHECK = re.compile(r"^-- (fail|warn): *(.+)$", re.MULTILINE)
_REPLACE = re.compile(r"fill shared table|replace (?:table|partition \((\w+)\))")
EXAMPLES = 5


@dataclass(frozen=True)
class SqlTable:
    """One folder under `sql/`."""

    name: str
    folder: Path

    def text(self, file: str) -> str:
        """Text of one of its files; empty where there is none."""
        path = self.folder / file
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def header(self, file: str) -> dict[str, str]:
        """Header of one of its files, by key; a line that names no key goes on with the one before."""
        values: dict[str, str] = {}
        key = ""
        for line in self.text(file).splitlines():
            if not line.startswith("--"):
                break
            match = _HEADER_LINE.match(line)
            if match and match.group(1) in HEADER_KEYS:
                key = match.group(1)
                values[key] = match.group(2).strip()
            elif key:
                values[key] = f"{values[key]} {line.removeprefix('--').strip()}"
        return values

    @property
    def query(self) -> sql.SQL:
        """The SELECT of `query.sql`.

        Raises:
            SqlFileError: There is none.
        """
        text = self.text("query.sql").rstrip().removesuffix(";")
        if not text:
            raise SqlFileError(f"{self.folder}: expected a query.sql with one SELECT, found none")
        return _sql(text)

    @cached_property
    def sources(self) -> list[str]:
        """Tables that this one reads or refers to."""
        names = " ".join(self.header(file).get("sources", "") for file in ("table.sql", "query.sql"))
        return re.findall(r"\w+\.\w+", names)

    @cached_property
    def key(self) -> list[str]:
        """Columns of the key, by which exports are ordered."""
        return re.findall(r"\w+", self.header("query.sql").get("key", ""))

    @cached_property
    def replaced_column(self) -> str | None:
        """Column whose partition a build replaces; None where it replaces the table.

        Raises:
            SqlFileError: The write disposition is not one that the runner knows.
        """
        disposition = self.header("query.sql").get("write disposition", "")
        match = _REPLACE.match(disposition)
        if match is None:
            raise SqlFileError(
                f"sql/{self.name.replace('.', '/')}/query.sql: write disposition is {disposition!r};"
                " expected `replace table`, `replace partition (column)` or `fill shared table` in the header"
            )
        return match.group(1)

    @cached_property
    def is_shared(self) -> bool:
        """Whether others may own the table or write to it: where it stands with rows of theirs it is only read."""
        return self.header("table.sql").get("write disposition", "").startswith("fill shared table")


def sql_table(name: str, root: Path = ROOT) -> SqlTable:
    """The folder of one address, `schema.table`."""
    return SqlTable(name, root.joinpath(*name.split(".")))


def tables_of(schema: str, root: Path = ROOT) -> list[SqlTable]:
    """Tables of a schema, each after those that it reads."""
    names = [f"{schema}.{folder.name}" for folder in (root / schema).glob("*/")]
    tables = {name: sql_table(name, root) for name in names}
    if not tables:
        raise SqlFileError(f"no tables under {root / schema}: expected sql/{schema}/<table>/; check the schema's name")
    graph = {name: [source for source in table.sources if source in tables] for name, table in sorted(tables.items())}
    return [tables[name] for name in TopologicalSorter(graph).static_order()]


@errors_at("DDL")
def apply_ddl(
    connection: Connection, contracts: Sequence[Contract], schemas: Sequence[str], root: Path = ROOT
) -> list[str]:
    """Bring staging tables and the tables of some schemas into being; what stands as it is written is left alone.

    A schema that stands is not touched, nor is a shared table, whoever made it and however: they may belong to a role
    that lets this one do no more than read.

    Returns:
        What was applied, by address.
    """
    wanted: dict[str, sql.SQL | sql.Composed] = {}
    for schema in ("ledger", *schemas):
        if not has_schema(connection, schema):
            wanted[schema] = sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema))
        if schema == "ledger":
            wanted |= {contract.table: staging_ddl(contract) for contract in contracts}
        for table in _with(tables_of(schema, root), "table.sql"):
            if not (table.is_shared and has_table(connection, table.name)):
                wanted[table.name] = _sql(table.text("table.sql"))
    digests = {name: hashlib.sha256(ddl.as_bytes(connection)).hexdigest() for name, ddl in wanted.items()}
    if ledger.applied_files(connection).items() >= digests.items():
        return []
    with connection.transaction():
        lock(connection, "ddl")
        applied = ledger.applied_files(connection)
        due = [name for name in wanted if applied.get(name) != digests[name]]
        for name in due:
            with errors_at(f"DDL of {name}"):
                connection.execute(wanted[name])
        for name in due:
            ledger.write_applied(connection, name, digests[name])
    return due


def _sql(text: str) -> sql.SQL:
    """Text of a file of the project, which is trusted as code is."""
    return sql.SQL(text)


def _with(tables: Iterable[SqlTable], file: str) -> list[SqlTable]:
    return [table for table in tables if table.text(file)]


def build_tables(
    connection: Connection,
    schema: str,
    parameters: Mapping[str, Any],
    *,
    partition: str,
    datasets: Sequence[str],
    force: bool = False,
    flow_run_id: str | None = None,
    root: Path = ROOT,
) -> list[BuildReceipt]:
    """Build and check the tables of a schema for one partition, all of them or none.

    A table is left as it is where its files, those of the tables that it reads, the parameters, the loads and the rows
    of shared tables are those that it was last built from. A shared table is left to those who wrote rows to it.

    Args:
        connection: To the warehouse.
        schema: Whose tables.
        parameters: Values of the queries' parameters.
        partition: Name of the partition, for the ledger.
        datasets: Staged datasets that the tables derive from.
        force: Build even where nothing changed.
        flow_run_id: For the ledger.
        root: Where the SQL is.

    Raises:
        CheckError: A check marked `fail` found rows; the tables stay as they were.
    """
    receipts = []
    with errors_at(f"build of {schema} {partition}"), connection.transaction():
        lock(connection, f"{schema} {partition}")
        loads = ledger.loads_of(connection, datasets, partition)
        tables = tables_of(schema, root)
        fingerprints = _shared_contents(connection, tables, root)
        for table in tables:
            fingerprints[table.name] = fingerprint = _fingerprint(table, loads, parameters, fingerprints)
            if not table.text("query.sql"):
                continue
            if standing := _standing(connection, table, partition, fingerprint, force=force):
                receipts.append(standing)
                continue
            started = time.monotonic()
            row_count = write_query(connection, table, parameters)
            results = run_checks(connection, table, parameters)
            _refuse_failed(results)
            ledger.write_build(connection, table.name, partition, fingerprint, row_count, flow_run_id)
            receipts.append(
                BuildReceipt(table.name, partition, "built", row_count, time.monotonic() - started, tuple(results))
            )
    return receipts


def _standing(
    connection: Connection, table: SqlTable, partition: str, fingerprint: str, *, force: bool
) -> BuildReceipt | None:
    """What a table holds, where that stays: what a build would write, or, where it is shared, the rows of others."""
    built = ledger.find_build(connection, table.name, partition)
    if table.is_shared and (row_count := count_rows(connection, table.name)) != (built[1] if built else 0):
        return BuildReceipt(table.name, partition, "kept", row_count, 0.0) if row_count else None
    if built and built[0] == fingerprint and not force:
        return BuildReceipt(table.name, partition, "unchanged", built[1], 0.0)
    return None


def _shared_contents(connection: Connection, tables: Iterable[SqlTable], root: Path) -> dict[str, str]:
    """A digest of the rows of each shared table that some tables read, for no ledger knows of every change there."""
    own = {table.name for table in tables}
    read = {source for table in tables for source in table.sources if sql_table(source, root).is_shared}
    query = sql.SQL("SELECT concat_ws(' ', count(*), sum(hashtextextended(t::text, 0))) FROM {} AS t")
    return {name: str(connection.execute(query.format(table_name(name))).fetchone()) for name in read - own}


def _fingerprint(
    table: SqlTable, loads: Sequence[int], parameters: Mapping[str, Any], fingerprints: Mapping[str, str]
) -> str:
    parts = [table.text(file) for file in ("table.sql", "query.sql", "checks.sql")]
    parts += [fingerprints[source] for source in table.sources if source in fingerprints]
    parts.append(" ".join(map(str, loads)))
    parts.append(json.dumps(parameters, default=str, sort_keys=True))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def write_query(connection: Connection, table: SqlTable, parameters: Mapping[str, Any]) -> int:
    """Replace what a table holds (of one partition) by the rows of its query, in the caller's transaction.

    Returns:
        How many rows it holds of that partition now.
    """
    query = table.query
    name = table_name(table.name)
    with errors_at(f"sql/{table.name.replace('.', '/')}/query.sql"):
        described = connection.execute(sql.SQL("SELECT * FROM (\n{}\n) AS q LIMIT 0").format(query), parameters)
        columns = [sql.Identifier(column.name) for column in described.description or ()]
        condition = sql.Composed([])
        if table.replaced_column:
            condition = sql.SQL(" WHERE {} = {}").format(
                sql.Identifier(table.replaced_column), sql.Placeholder(table.replaced_column)
            )
        connection.execute(sql.SQL("DELETE FROM {}").format(name) + condition, parameters)
        written = connection.execute(
            sql.SQL("INSERT INTO {} ({})\n{}").format(name, sql.SQL(", ").join(columns), query), parameters
        )
    return written.rowcount


def read_query(connection: Connection, table: SqlTable, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Rows of a query that fills no table."""
    with errors_at(f"sql/{table.name.replace('.', '/')}/query.sql"):
        return connection.execute(table.query, parameters).fetchall()


def run_checks(connection: Connection, table: SqlTable, parameters: Mapping[str, Any]) -> list[CheckResult]:
    """Run a table's assertions: SELECTs of the rows that break them. Returns those that found some."""
    parts = _CHECK.split(table.text("checks.sql"))[1:]
    broken = []
    for severity, name, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        with errors_at(f"sql/{table.name.replace('.', '/')}/checks.sql: {name}"):
            rows = connection.execute(_sql(body.strip().removesuffix(";")), parameters).fetchall()
        if rows:
            examples = tuple(str(row) for row in rows[:EXAMPLES])
            broken.append(CheckResult(table.name, name, "fail" if severity == "fail" else "warn", len(rows), examples))
    return broken


def _refuse_failed(results: Iterable[CheckResult]) -> None:
    failed = [result for result in results if result.severity == "fail"]
    if failed:
        lines = [f"  {r.table}: {r.name}: {r.broken_count:,} rows, e.g. {'; '.join(r.examples)}" for r in failed]
        raise CheckError("checks failed, the tables stay as they were:\n" + "\n".join(lines))
