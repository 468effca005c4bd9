"""The reset of a dataset: remove its tables, the tables that derive only from it, and its entries in the ledger."""

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
    """The tables and entries that a reset removes.

    Attributes:
        dataset: Name of the dataset.
        tables: Tables and views to drop, each with its number of rows; 0 for a view.
        rebuilt: Tables that derive from other datasets too or are shared. They remain, and the next run builds them.
        entries: Number of ledger entries to delete, by table of the ledger.
        exports: Exports of the dropped tables in the lake, which remain.
    """

    dataset: str
    tables: tuple[tuple[str, int], ...]
    rebuilt: tuple[str, ...]
    entries: tuple[tuple[str, int], ...]
    exports: tuple[str, ...]


@dataclass(frozen=True)
class _Scope:
    """Tables of a reset: `own` derive only from the dataset, `mixed` derive from other datasets too or are shared."""

    contract: Contract
    own: tuple[SqlTable, ...]
    mixed: tuple[SqlTable, ...]

    @property
    def dropped(self) -> list[str]:
        """Names of the tables and views to drop, each after its readers."""
        return [*(table.name for table in reversed(self.own)), self.contract.ingested, self.contract.table]


def plan_reset(connection: Connection, contract: Contract, known: Iterable[Contract], root: Path = ROOT) -> ResetPlan:
    """Plan the reset of a dataset; write nothing.

    Args:
        connection: To the warehouse.
        contract: Contract of the dataset.
        known: All contracts.
        root: Folder of the SQL.

    Raises:
        ResetError: The lake does not hold the dataset's objects, or other views or tables depend on its tables.
    """
    with errors_at(f"reset of {contract.dataset}"), connection.transaction():
        connection.execute("SET TRANSACTION READ ONLY")
        return _plan(connection, _scope(contract, known, root), root)


def reset_dataset(
    connection: Connection, contract: Contract, known: Iterable[Contract], root: Path = ROOT
) -> ResetPlan:
    """Remove a dataset in one transaction. The next run of its pipeline loads it again, as on a new warehouse.

    Args:
        connection: To the warehouse.
        contract: Contract of the dataset.
        known: All contracts.
        root: Folder of the SQL.

    Returns:
        The removed tables and entries.

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
            for name in reversed(existing):  # a load also locks the staging table first
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
    if contract.partition is None and not contract.keys and not contract.is_appended:
        raise ResetError(
            f"dataset {contract.dataset}: expected a dataset with objects in the lake, found a dataset of changes in a"
            " database: after a reset no run could load its earlier rows again. Instead, run the flow with full=true,"
            " which extracts all rows"
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
    """Ledger tables with entries of the dataset, each with a condition and before the tables that it refers to."""
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
    """Refuse a reset if other views or foreign keys depend on the tables.

    Raises:
        ResetError: Other views or foreign keys depend on the tables; the message names them.
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
            " would also remove these. Drop them, reset, and create them again after the next run"
        )
