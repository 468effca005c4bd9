"""The reset of a dataset: its tables, what derives from it alone, and what the ledger says of it are removed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from psycopg import sql

from tasks.contracts import Contract
from tasks.engine.build.lineage import roots_of, tables_in_order
from tasks.engine.build.sql_files import ROOT, SqlTable
from tasks.engine.errors import ResetError, errors_at
from tasks.engine.schema.relations import dependent_views
from tasks.engine.warehouse.busy_tables import DDL_LOCK_WAIT, retried_while_busy
from tasks.engine.warehouse.locks import lock
from tasks.engine.warehouse.tables import Connection, count_rows, has_table, table_name


@dataclass(frozen=True)
class ResetPlan:
    """What a reset removes.

    Attributes:
        tables: Tables and views that are dropped, each with its number of rows; of views 0.
        rebuilt: Tables that derive from other datasets, too: they stay, and the next run builds them again.
        entries: Rows of the ledger that are deleted, by its tables.
        exports: Objects in the lake that were made of the dropped tables. They stay.
    """

    dataset: str
    tables: tuple[tuple[str, int], ...]
    rebuilt: tuple[str, ...]
    entries: tuple[tuple[str, int], ...]
    exports: tuple[str, ...]


@dataclass(frozen=True)
class _Scope:
    """What a dataset's reset is about: tables that derive from it alone, and those of other datasets, too."""

    contract: Contract
    own: tuple[SqlTable, ...]
    mixed: tuple[SqlTable, ...]

    @property
    def dropped(self) -> list[str]:
        """Names of what is dropped, each after those that read it."""
        return [*(table.name for table in reversed(self.own)), self.contract.table]


def plan_reset(connection: Connection, contract: Contract, known: Iterable[Contract], root: Path = ROOT) -> ResetPlan:
    """Say what a reset of a dataset would remove; nothing is written.

    Args:
        connection: To the warehouse.
        contract: Of the dataset.
        known: All contracts.
        root: Where the SQL is.

    Raises:
        ResetError: The dataset cannot be loaded again from the lake, or views of others read its tables.
    """
    with errors_at(f"reset of {contract.dataset}"), connection.transaction():
        connection.execute("SET TRANSACTION READ ONLY")
        return _plan(connection, _scope(contract, known, root), root)


def reset_dataset(
    connection: Connection, contract: Contract, known: Iterable[Contract], root: Path = ROOT
) -> ResetPlan:
    """Remove a dataset, all of it or nothing; the next run of its pipeline makes it again, as on a fresh warehouse.

    Args:
        connection: To the warehouse.
        contract: Of the dataset.
        known: All contracts.
        root: Where the SQL is.

    Returns:
        What was removed.

    Raises:
        ResetError: As `plan_reset`.
        WarehouseBusyError: Another session used a table for all attempts.
    """
    scope = _scope(contract, known, root)
    with errors_at(f"reset of {contract.dataset}"):
        return retried_while_busy(connection, scope.dropped, lambda: _reset(connection, scope, root))


def _reset(connection: Connection, scope: _Scope, root: Path) -> ResetPlan:
    with connection.transaction():
        lock(connection, "ddl")
        with errors_at(f"reset of {scope.contract.dataset}"):
            connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(DDL_LOCK_WAIT)))
            existing = [name for name in scope.dropped if has_table(connection, name)]
            for name in reversed(existing):  # a load locks the staging table first, and so does this
                connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(table_name(name)))
            plan = _plan(connection, scope, root)
            for name in existing:
                kind = sql.SQL("VIEW" if _is_view(connection, name) else "TABLE")
                connection.execute(sql.SQL("DROP {} {}").format(kind, table_name(name)))
            for table, condition in _entries(connection, scope):
                connection.execute(sql.SQL("DELETE FROM {} WHERE {}").format(table_name(table), condition))
            connection.execute("DELETE FROM ledger.applied_files WHERE path = ANY(%s)", [scope.dropped])
    return plan


def _scope(contract: Contract, known: Iterable[Contract], root: Path) -> _Scope:
    if contract.partition is None and not contract.keys:
        raise ResetError(
            f"dataset {contract.dataset}: expected a dataset whose objects stay in the lake, found one that the runs of"
            " its flow bring as changes of a database: after a reset nothing could load its earlier rows again. Extract"
            " everything instead: run the flow with full=true"
        )
    tables = tables_in_order(root)
    roots = roots_of(tables, [each.table for each in known])
    derived = [table for name, table in tables.items() if contract.table in roots[name] and table.text("table.sql")]
    own = tuple(table for table in derived if roots[table.name] == {contract.table} and not table.is_shared)
    return _Scope(contract, own, tuple(table for table in derived if table not in own))


def _plan(connection: Connection, scope: _Scope, root: Path) -> ResetPlan:
    existing = [name for name in scope.dropped if has_table(connection, name)]
    _refuse_readers(connection, existing)
    tables = [(name, 0 if _is_view(connection, name) else count_rows(connection, name)) for name in existing]
    entries = []
    for table, condition in _entries(connection, scope):
        query = sql.SQL("SELECT count(*) FROM {} WHERE {}").format(table_name(table), condition)
        entries.append((table, int((connection.execute(query).fetchone() or (0,))[0])))
    exports: list[str] = []
    if has_table(connection, "ledger.exports"):
        query = sql.SQL("SELECT DISTINCT uri FROM ledger.exports WHERE {} ORDER BY 1").format(_exports_of(scope))
        exports = [str(uri) for (uri,) in connection.execute(query)]
    return ResetPlan(
        scope.contract.dataset,
        tuple(tables),
        tuple(table.name for table in scope.mixed),
        tuple((table, count) for table, count in entries if count),
        tuple(exports),
    )


def _entries(connection: Connection, scope: _Scope) -> list[tuple[str, sql.Composed]]:
    """Tables of the ledger with entries of the dataset, and their condition; those that refer to others come first."""
    dataset = sql.Literal(scope.contract.dataset)
    rebuilt = [table.name for table in (*scope.own, *scope.mixed) if not table.is_shared]
    found = connection.execute(
        "SELECT n.nspname || '.' || c.relname, array_agg(a.attname::text) FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE n.nspname = 'ledger' AND c.relkind IN ('r', 'p') AND a.attname IN ('dataset', 'load_id', 'table_name',"
        " 'export_id') GROUP BY 1 ORDER BY 1"
    ).fetchall()
    columns = {str(name): set(names) for name, names in found}
    entries = []
    of_loads = sql.SQL("load_id IN (SELECT load_id FROM ledger.loads WHERE dataset = {})").format(dataset)
    of_dataset = sql.SQL("dataset = {}").format(dataset)
    entries += [(name, of_loads) for name, own in columns.items() if "load_id" in own and "dataset" not in own]
    entries += [(name, of_dataset) for name, own in columns.items() if "dataset" in own and name != "ledger.loads"]
    if "ledger.loads" in columns:
        entries.append(("ledger.loads", of_dataset))
    if "ledger.builds" in columns:
        entries.append(("ledger.builds", sql.SQL("table_name = ANY({})").format(sql.Literal(rebuilt))))
    if "ledger.exports" in columns:
        entries.append(("ledger.exports", _exports_of(scope)))
    return entries


def _exports_of(scope: _Scope) -> sql.Composed:
    names = [table.name.split(".")[1] for table in scope.own]
    return sql.SQL("name = ANY({})").format(sql.Literal(names))


def _is_view(connection: Connection, name: str) -> bool:
    row = connection.execute(
        "SELECT c.relkind = 'v' FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE (n.nspname, c.relname) = (%s, %s)",
        name.split("."),
    ).fetchone()
    return row == (True,)


def _refuse_readers(connection: Connection, dropped: Sequence[str]) -> None:
    """Views and foreign keys of others would go with the tables.

    Raises:
        ResetError: There are some; the message names them.
    """
    readers = [name for name in dependent_views(connection, dropped) if name not in dropped]
    keys = connection.execute(
        "SELECT DISTINCT k.conrelid::regclass::text FROM pg_constraint k JOIN pg_class c ON c.oid = k.confrelid"
        " JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_class r ON r.oid = k.conrelid"
        " JOIN pg_namespace m ON m.oid = r.relnamespace WHERE k.contype = 'f'"
        " AND (n.nspname || '.' || c.relname) = ANY(%s) AND (m.nspname || '.' || r.relname) <> ALL(%s) ORDER BY 1",
        [list(dropped), list(dropped)],
    )
    if others := [*readers, *(str(name) for (name,) in keys)]:
        raise ResetError(
            f"expected no other table or view to depend on {', '.join(dropped)}, found {', '.join(others)}: the reset"
            " would remove these, too. Drop them, reset, and create them again after the next run"
        )
