"""Builds: the tables of a schema are written and checked, all of them or none, where what they derive from changed."""

import hashlib
import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from psycopg import sql

from tasks.engine import ledger
from tasks.engine.dispositions import write_query, write_touched
from tasks.engine.errors import CheckError, errors_at
from tasks.engine.locks import snapshot_transaction
from tasks.engine.receipts import BuildReceipt, CheckResult
from tasks.engine.sql_files import FILES, ROOT, SqlTable, sql_table, tables_of
from tasks.engine.warehouse import Connection, count_rows, lock, table_name

_CHECK = re.compile(r"^-- (fail|warn): *(.+)$", re.MULTILINE)
EXAMPLES = 5


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

    Partitions are built side by side, but of a schema with a table that is merged or appended, whose builds may decide
    the same rows, one at a time.

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
        SqlFileError: A file lacks what its write disposition wants, or a query breaks it.
    """
    receipts: dict[str, BuildReceipt] = {}
    tables = tables_of(schema, root)
    with errors_at(f"build of {schema} {partition}"), _build_of(connection, schema, tables):
        lock(connection, f"{schema} {partition}")
        loads = ledger.loads_of(connection, datasets, partition)
        fingerprints = _shared_contents(connection, tables, root)
        due = []
        for table in tables:
            fingerprints[table.name] = fingerprint = _fingerprint(table, loads, parameters, fingerprints)
            if not table.text("query.sql"):
                continue
            if standing := _standing(connection, table, partition, fingerprint, force=force):
                receipts[table.name] = standing
            else:
                due.append(table)
        for table in due:
            write_touched(connection, table, parameters)
        for table in due:
            started = time.monotonic()
            row_count = write_query(connection, table, parameters)
            results = run_checks(connection, table, parameters)
            _refuse_failed(results)
            ledger.write_build(connection, table.name, partition, fingerprints[table.name], row_count, flow_run_id)
            seconds = time.monotonic() - started
            receipts[table.name] = BuildReceipt(table.name, partition, "built", row_count, seconds, tuple(results))
    return [replace(receipts[table.name], loads=tuple(loads)) for table in tables if table.name in receipts]


@contextmanager
def _build_of(connection: Connection, schema: str, tables: Iterable[SqlTable]) -> Iterator[None]:
    """The transaction of a build, alone in its schema where builds of two partitions may decide the same rows.

    Then all of it sees one state of what others load meanwhile, as old as the lock at most, and foreign keys that may
    wait are checked in the end: a row may go before those that refer to it.
    """
    if all(table.disposition.kind == "replace" for table in tables if table.text("query.sql")):
        with connection.transaction():
            yield
        return
    with snapshot_transaction(connection, f"schema {schema}"):
        connection.execute("SET CONSTRAINTS ALL DEFERRED")
        yield


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
    parts = [table.text(file) for file in FILES]
    parts += [fingerprints[source] for source in table.sources if source in fingerprints]
    parts.append(" ".join(map(str, loads)))
    parts.append(json.dumps(parameters, default=str, sort_keys=True))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def run_checks(connection: Connection, table: SqlTable, parameters: Mapping[str, Any]) -> list[CheckResult]:
    """Run a table's assertions: SELECTs of the rows that break them. Returns those that found some."""
    parts = _CHECK.split(table.text("checks.sql"))[1:]
    broken = []
    for severity, name, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        query = sql.SQL("SELECT count(*) OVER (), b.* FROM (\n{}\n) AS b LIMIT {}").format(
            sql.SQL(body.strip().removesuffix(";")), sql.Literal(EXAMPLES)
        )
        with errors_at(f"{table.address('checks.sql')}: {name}"):
            rows = connection.execute(query, parameters).fetchall()
        if rows:
            examples = tuple(str(row[1:]) for row in rows)
            broken.append(CheckResult(table.name, name, "fail" if severity == "fail" else "warn", rows[0][0], examples))
    return broken


def _refuse_failed(results: Iterable[CheckResult]) -> None:
    failed = [result for result in results if result.severity == "fail"]
    if failed:
        lines = [f"  {r.table}: {r.name}: {r.broken_count:,} rows, e.g. {'; '.join(r.examples)}" for r in failed]
        raise CheckError("checks failed, the tables stay as they were:\n" + "\n".join(lines))
