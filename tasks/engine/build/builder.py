"""Builds: the tables of a schema are written and checked, all of them or none, where one of their inputs changed."""

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from psycopg import sql

from tasks.contracts import Contract
from tasks.engine import ledger
from tasks.engine.build.build_inputs import Inputs, Recipe, fingerprint_of, read_state, recipes_of, wanted_inputs
from tasks.engine.build.combinations import refuse_combinations
from tasks.engine.build.dispositions import write_affected_keys, write_query
from tasks.engine.build.sql_files import ROOT, SqlTable
from tasks.engine.errors import CheckError, errors_at
from tasks.engine.receipts import BuildReceipt, CheckResult
from tasks.engine.warehouse.locks import snapshot_transaction
from tasks.engine.warehouse.tables import Connection, count_rows, lock

_CHECK = re.compile(r"^-- (fail|warn): *(.+)$", re.MULTILINE)
EXAMPLES = 5


def build_tables(
    connection: Connection,
    schema: str,
    parameters: Mapping[str, Any],
    *,
    partition: str,
    datasets: Sequence[str] = (),
    contracts: Sequence[Contract] = (),
    force: bool = False,
    flow_run_id: str | None = None,
    root: Path = ROOT,
) -> list[BuildReceipt]:
    """Build and check the tables of a schema for one partition, all of them or none.

    A table is left as it is if its inputs are those that it was last built from: its files, the values of its
    parameters, the loads of its datasets, the builds of the tables that it reads, and the rows of shared tables. A
    shared table is left to those who wrote rows to it.

    Builds of partitions run side by side only if every table of the schema is `replace partition`. Builds of any other
    schema take turns, for two of them may write the same rows.

    Args:
        connection: To the warehouse.
        schema: Whose tables.
        parameters: Values of the queries' parameters.
        partition: Name of the partition; empty for a schema that is built as a whole.
        datasets: Names of datasets that the tables derive from, without a contract at hand.
        contracts: Contracts of datasets that the tables derive from: a table depends only on those that it reads.
        force: Build even if nothing changed.
        flow_run_id: For the ledger.
        root: Where the SQL is.

    Raises:
        CheckError: A check marked `fail` found rows; the tables stay as they were.
        SqlFileError: A file lacks what its write disposition wants, a query breaks it, or dispositions are combined
            that leave a table with old rows.
    """
    recipes = recipes_of(schema, datasets, contracts, root)
    refuse_combinations(recipes)
    with errors_at(f"build of {schema} {partition}"), _transaction_of(connection, schema, recipes):
        lock(connection, f"{schema} {partition}")
        is_all = not partition or any(recipe.table.is_whole for recipe in recipes)
        state = read_state(connection, recipes, None if is_all else partition)
        wanted = list(wanted_inputs(recipes, partition, parameters, state))
        loads = state.loads_of(partition)
        receipts = {
            recipe.table.name: _current(connection, recipe, partition, inputs, loads, force=force)
            for recipe, inputs in wanted
        }
        due = [(recipe, inputs) for recipe, inputs in wanted if receipts[recipe.table.name] is None]
        for recipe, _ in due:
            write_affected_keys(connection, recipe.table, parameters)
        for recipe, inputs in due:
            table, entry, started = recipe.table, recipe.entry(partition), time.monotonic()
            row_count = write_query(connection, table, parameters)
            results = run_checks(connection, table, parameters)
            refuse_failed(results)
            name = fingerprint_of(inputs)
            ledger.write_build(connection, table.name, entry, name, row_count, flow_run_id, inputs)
            seconds = time.monotonic() - started
            receipts[table.name] = BuildReceipt(
                table.name, partition, "built", row_count, seconds, tuple(results), loads, name
            )
    whole = {recipe.table.name: recipe.table.is_whole for recipe in recipes}
    return [replace(receipt, is_whole=whole[name]) for name, receipt in receipts.items() if receipt]


@contextmanager
def _transaction_of(connection: Connection, schema: str, recipes: Iterable[Recipe]) -> Iterator[None]:
    """The transaction of a build, which shares its schema with other builds only if no two can write the same row.

    Builds that replace nothing but their own partition share the schema; any other build has it for itself. Either way
    each statement sees what others committed while the build waited.

    A schema with a merge or an append sees one state of the database in all its statements, which is younger than the
    lock. Deferrable foreign keys are checked when it commits, so that a row may go before those that refer to it.
    """
    name = f"schema {schema}"
    tables = [recipe.table for recipe in recipes]
    if all(table.disposition.kind == "replace" for table in tables):
        with connection.transaction():
            lock(connection, name, is_shared=not any(table.is_whole for table in tables))
            yield
        return
    with snapshot_transaction(connection, name):
        connection.execute("SET CONSTRAINTS ALL DEFERRED")
        yield


def _current(
    connection: Connection, recipe: Recipe, partition: str, inputs: Inputs, loads: tuple[int, ...], *, force: bool
) -> BuildReceipt | None:
    """The receipt of a table that needs no build; None for a table that does.

    A table needs none if it was built from these inputs, or if it is shared and holds the rows of others.
    """
    table, fingerprint = recipe.table, fingerprint_of(inputs)
    built = ledger.find_build(connection, table.name, recipe.entry(partition))
    if table.is_shared and (row_count := count_rows(connection, table.name)) != (built[1] if built else 0):
        return BuildReceipt(table.name, partition, "kept", row_count, 0.0, (), loads) if row_count else None
    if built and built[0] == fingerprint and not force:
        return BuildReceipt(table.name, partition, "unchanged", built[1], 0.0, (), loads, fingerprint)
    return None


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


def refuse_failed(results: Iterable[CheckResult]) -> None:
    """Stop a build whose checks marked `fail` found rows.

    Raises:
        CheckError: There are some.
    """
    failed = [result for result in results if result.severity == "fail"]
    if failed:
        lines = [f"  {r.table}: {r.name}: {r.broken_count:,} rows, e.g. {'; '.join(r.examples)}" for r in failed]
        raise CheckError("checks failed, the tables stay as they were:\n" + "\n".join(lines))
