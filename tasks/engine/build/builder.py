"""Builds: write and check the tables of a schema whose inputs changed, in one transaction."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tasks.contracts import Contract
from tasks.engine import ledger
from tasks.engine.build.build_inputs import (
    BuildState,
    Inputs,
    Recipe,
    fingerprint_of,
    read_state,
    wanted_inputs,
)
from tasks.engine.build.checks import queries_of_checks, refuse_failed, run_checks
from tasks.engine.build.combinations import sound_recipes
from tasks.engine.build.dispositions import write_affected_keys, write_query
from tasks.engine.build.outdated_builds import mark_outdated_builds
from tasks.engine.build.shared_queries import shared_results
from tasks.engine.build.snapshots import snapshot_of
from tasks.engine.build.sql_code import code_of
from tasks.engine.build.sql_files import ROOT, SqlTable
from tasks.engine.errors import errors_at
from tasks.engine.receipts import BuildReceipt
from tasks.engine.warehouse.locks import snapshot_transaction
from tasks.engine.warehouse.tables import Connection, count_rows, lock


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
    tables: Sequence[str] = (),
) -> list[BuildReceipt]:
    """Build and check the tables of a schema for one partition, all of them or none.

    A build skips a table if its inputs did not change: its files, the values of its parameters, the loads of its
    datasets, the builds of its source tables, and the rows of shared source tables. A build also skips a shared table
    with rows written by another owner.

    Builds of partitions run concurrently only if every table of the schema is `replace partition`. Builds of any other
    schema run one after another, because two of them may write the same rows.

    Args:
        connection: To the warehouse.
        schema: Schema of the tables.
        parameters: Values of the queries' parameters.
        partition: Name of the partition; empty for a schema that is built as a whole.
        datasets: Names of the tables' datasets whose contracts are unknown.
        contracts: Contracts of the tables' datasets; a table depends only on the datasets that it reads.
        force: Build even if nothing changed.
        flow_run_id: Id of the flow run, for the ledger.
        root: Folder of the SQL.
        tables: Names of the tables to build; empty for all tables of the schema.

    Raises:
        CheckError: A check marked `fail` found rows; the tables did not change.
        SqlFileError: A file lacks a part that its write disposition needs, a query breaks the disposition, or the
            dispositions of two tables do not fit together.
        ShrinkError: A snapshot without rows would end all rows of a history, and the run has no `force`.
    """
    recipes = sound_recipes(schema, datasets, contracts, root)
    recipes = [recipe for recipe in recipes if not tables or recipe.table.name in tables]
    with errors_at(f"build of {schema} {partition}"), _transaction_of(connection, schema, recipes):
        lock(connection, f"{schema} {partition}")
        is_all = not partition or any(recipe.table.is_whole for recipe in recipes)
        state = read_state(connection, recipes, None if is_all else partition)
        wanted = list(wanted_inputs(recipes, partition, parameters, state))
        loads = state.loads_of(partition)
        partitions = {recipe.table.name: recipe.ledger_partition(partition) for recipe in recipes}
        built = ledger.find_builds(connection, partitions)
        receipts = {
            recipe.table.name: _receipt_without_build(
                connection, recipe, partition, inputs, loads, built.get(recipe.table.name), force=force
            )
            for recipe, inputs in wanted
        }
        due = [(recipe, inputs) for recipe, inputs in wanted if receipts[recipe.table.name] is None]
        selects = [code_of(recipe.table.text("affected_keys.sql")) for recipe, _ in due]
        shared = shared_results(connection, "selected", selects, parameters)
        for recipe, _ in due:
            write_affected_keys(connection, recipe.table, parameters, shared)
        for recipe, inputs in due:
            table, ledger_partition, started = recipe.table, partitions[recipe.table.name], time.monotonic()
            read = _loads_read(connection, recipe, ledger_partition, state)
            snapshot = snapshot_of(connection, recipe, ledger_partition, read, force=force)
            row_count = write_query(connection, table, parameters, snapshot)
            mark_outdated_builds(connection, table, ledger_partition, inputs)
            fingerprint, at = fingerprint_of(inputs), snapshot.recorded_at if snapshot else None
            ledger.write_build(
                connection, table.name, ledger_partition, fingerprint, row_count, flow_run_id, inputs, read, at
            )
            seconds = time.monotonic() - started
            receipts[table.name] = BuildReceipt(
                table.name, partition, "built", row_count, seconds, (), loads, fingerprint
            )
        _check_all(connection, [recipe.table for recipe, _ in due], parameters, receipts)
    whole = {recipe.table.name: recipe.table.is_whole for recipe in recipes}
    return [replace(receipt, is_whole=whole[name]) for name, receipt in receipts.items() if receipt]


def _check_all(
    connection: Connection,
    tables: Sequence[SqlTable],
    parameters: Mapping[str, Any],
    receipts: dict[str, BuildReceipt | None],
) -> None:
    """Check the tables of a build after the last write, and add the broken checks and the time to their receipts.

    Raises:
        CheckError: A check marked `fail` found rows.
    """
    shared = shared_results(connection, "checked", queries_of_checks(tables), parameters)
    # A check that holds finds no row. Postgres expects many rows, and would run a large check without parallel workers,
    # because each row that a worker finds costs a transfer.
    connection.execute("SET LOCAL parallel_tuple_cost = 0")
    for table in tables:
        started = time.monotonic()
        results = run_checks(connection, table, parameters, shared)
        refuse_failed(results)
        if receipt := receipts[table.name]:
            seconds = receipt.seconds + time.monotonic() - started
            receipts[table.name] = replace(receipt, seconds=seconds, warnings=tuple(results))


def _loads_read(connection: Connection, recipe: Recipe, ledger_partition: str, state: BuildState) -> list[int]:
    """The ids of the loads whose rows a build reads, from staging tables or through tables that were built before."""
    datasets = {name: state.loads.get(name, {}) for name in recipe.read_datasets}
    own = {
        load
        for parts in datasets.values()
        for name, ids in parts.items()
        if ledger_partition in ("", name) or not name
        for load in ids
    }
    rows = connection.execute(
        "SELECT DISTINCT unnest(load_ids) FROM ledger.builds WHERE table_name = ANY(%s)"
        " AND (%s = '' OR partition IN (%s, ''))",
        [[source.name for source in recipe.sources], ledger_partition, ledger_partition],
    )
    return sorted(own | {int(load) for (load,) in rows})


@contextmanager
def _transaction_of(connection: Connection, schema: str, recipes: Iterable[Recipe]) -> Iterator[None]:
    """The transaction of a build. Builds share a schema only if no two of them can write the same row.

    Builds that replace only their own partition share the lock of the schema. Any other build holds the lock alone.

    If the build replaces the rows of all its tables, each statement sees the changes that other builds committed while
    the build waited for the lock. Otherwise, all statements see one state of the database, which is later than the
    lock. Postgres then checks deferrable foreign keys at the commit, so the build may remove a row before the rows that
    refer to the row.
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


def _receipt_without_build(
    connection: Connection,
    recipe: Recipe,
    partition: str,
    inputs: Inputs,
    loads: tuple[int, ...],
    built: tuple[str, int] | None,
    *,
    force: bool,
) -> BuildReceipt | None:
    """The receipt of a table that needs no build; None for a table that needs one.

    A table needs no build if it was built from these inputs, or if it is shared and another owner wrote rows to it.
    `built` holds the fingerprint and the row count of the current build.
    """
    table, fingerprint = recipe.table, fingerprint_of(inputs)
    if table.is_shared and (row_count := count_rows(connection, table.name)) != (built[1] if built else 0):
        return BuildReceipt(table.name, partition, "kept", row_count, 0.0, (), loads) if row_count else None
    if built and built[0] == fingerprint and not force:
        return BuildReceipt(table.name, partition, "unchanged", built[1], 0.0, (), loads, fingerprint)
    return None
