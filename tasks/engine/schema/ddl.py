"""The DDL step: create and change the ledger, the staging tables of contracts and the tables under `sql/`."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import psycopg
from psycopg import sql

from tasks.contracts import Contract
from tasks.contracts.catalog import contracts as all_contracts
from tasks.engine.build.assignments import written_columns
from tasks.engine.build.checks import refuse_failed, run_checks
from tasks.engine.build.sql_files import ROOT, sql_table
from tasks.engine.errors import SchemaDriftError, WarehouseError, errors_at
from tasks.engine.schema.applied_ddl import applied_files, write_applied
from tasks.engine.schema.datasets import TABLE, are_current, write_datasets
from tasks.engine.schema.ddl_plan import DdlPlan, plan_ddl
from tasks.engine.schema.desired import WantedObject, wanted_objects
from tasks.engine.schema.lost_tables import check_known_rows, forget_lost
from tasks.engine.schema.migrations import Migration, check_recorded, migration_text, pending_migrations, run_migrations
from tasks.engine.schema.relations import read_relations
from tasks.engine.warehouse.busy_tables import DDL_LOCK_WAIT, retried_while_busy
from tasks.engine.warehouse.tables import Connection, lock, table_name


@errors_at("DDL")
def apply_ddl(
    connection: Connection, contracts: Sequence[Contract], schemas: Sequence[str], root: Path = ROOT
) -> list[str]:
    """Create missing tables, and make the safe changes of tables that differ; all of them or none.

    The step compares a table only if its DDL differs from the ledger's record, or if the table is missing. So a step
    without changes costs two queries and no lock. The step never changes an existing shared table, because the table
    may belong to a role that allows this role only to read.

    Returns:
        Names of the schemas, tables and views that were created, changed or compared.

    Raises:
        SchemaDriftError: A difference is not safe to resolve; the message lists the statements for a migration.
        WarehouseBusyError: Another session held a lock on a table for all attempts.
    """
    wanted = wanted_objects(contracts, schemas, root)
    existing, recorded = _state(connection, wanted)
    is_due = bool(_due(connection, wanted, existing, recorded) or pending_migrations(_schemas(wanted), recorded, root))
    if not is_due and are_current(all_contracts(), recorded):
        return []
    names = [each.name for each in wanted]
    return retried_while_busy(connection, names, lambda: _apply(connection, wanted, contracts, root))


def due_changes(
    connection: Connection, contracts: Sequence[Contract], schemas: Sequence[str], root: Path = ROOT
) -> DdlPlan:
    """The changes that `apply_ddl` would make now. The caller rolls its transaction back."""
    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(DDL_LOCK_WAIT)))
    wanted = wanted_objects(contracts, schemas, root)
    existing, recorded = _state(connection, wanted)
    pending = pending_migrations(_schemas(wanted), recorded, root)
    plan = plan_ddl(connection, wanted, _due(connection, wanted, existing, recorded), root)
    plan.statements[:0] = [
        *((name, _create_schema(name)) for name in _missing_schemas(connection, wanted)),
        *((each.path, sql.SQL(migration_text(each, root))) for each in _to_run(pending, existing, recorded)),
    ]
    return plan


def _apply(
    connection: Connection, wanted: Sequence[WantedObject], contracts: Sequence[Contract], root: Path
) -> list[str]:
    with connection.transaction():
        lock(connection, "ddl")
        connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(DDL_LOCK_WAIT)))
        existing, recorded = _state(connection, wanted)
        pending = pending_migrations(_schemas(wanted), recorded, root)
        to_run = _to_run(pending, existing, recorded)
        schemas = _missing_schemas(connection, wanted)
        for schema in schemas:
            connection.execute(_create_schema(schema))
        grants: list[str] = []
        if to_run:
            grants = _drop_generated(connection, wanted, {each.schema for each in to_run})
            run_migrations(connection, to_run, root)
            existing = _existing(connection, wanted)
        due = _due(connection, wanted, existing, recorded, {each.schema for each in to_run})
        plan = _run(connection, wanted, due, root)
        for grant in grants:
            connection.execute(grant.encode())
        _check_rebuilt(connection, plan)
        forget_lost(connection, [each for each in due if each.name not in existing])
        check_known_rows(connection, [each for each in due if each.name in existing - recorded.keys()])
        _verify(connection, wanted, [each for each in due if each.name in existing], root)
        for each in due:
            write_applied(connection, each.name, each.digest(connection))
        for migration in pending:
            write_applied(connection, migration.path, migration.digest)
        kept = recorded if TABLE in existing else {}
        changed = write_datasets(connection, all_contracts(), contracts, kept)
    applied = [*schemas, *(each.path for each in to_run), *(each.name for each in due)]
    return applied if applied or not changed else [TABLE]


def _run(
    connection: Connection,
    wanted: Sequence[WantedObject],
    due: Sequence[WantedObject],
    root: Path,
    broken: Collection[str] = (),
) -> DdlPlan:
    """Make the changes of a plan, and return the plan.

    If the rows of a table break a new constraint, the function plans again. The plan then rebuilds the table, if its
    header declares that.
    """
    plan = plan_ddl(connection, wanted, due, root, broken)
    plan.refuse()
    rebuilt = [rebuild.table.name for rebuild in plan.rebuilds]
    for schema in dict.fromkeys(name.split(".")[0] for name in rebuilt):
        lock(connection, f"schema {schema}")  # so no build writes to the old table during the rebuild
    name = ""
    try:
        with connection.transaction():  # a savepoint
            for name, statement in plan.statements:
                with errors_at(f"DDL of {name}"):
                    connection.execute(statement)
    except WarehouseError as error:
        is_new = name not in (*broken, *rebuilt) and sql_table(name, root).header("table.sql").get("rebuild")
        if not is_new or not isinstance(error.__cause__, psycopg.IntegrityError):
            raise
        return _run(connection, wanted, due, root, {*broken, name})
    return plan


def _to_run(pending: Sequence[Migration], existing: Collection[str], recorded: Mapping[str, str]) -> list[Migration]:
    """The pending migrations of schemas with tables. A new schema needs none, because its tables are up to date."""
    to_run = []
    for schema in dict.fromkeys(each.schema for each in pending):
        tables = [name for name in sorted(existing) if name.startswith(f"{schema}.")]
        own = [each for each in pending if each.schema == schema]
        check_recorded(schema, tables, recorded, own)
        to_run += own if tables else []
    return to_run


def _drop_generated(connection: Connection, wanted: Sequence[WantedObject], schemas: Collection[str]) -> list[str]:
    """Drop the generated views of some schemas, and return the statements that grant their rights again.

    A migration could not change or remove a column that a view reads. The step creates the views again.
    """
    names = [each.name for each in wanted if each.is_generated and each.schema in schemas]
    found = read_relations(connection, names)
    for name in found:
        connection.execute(sql.SQL("DROP VIEW {}").format(table_name(name)))
    return [grant for relation in found.values() for grant in relation.grants]


def _check_rebuilt(connection: Connection, plan: DdlPlan) -> None:
    """Compare the types of the queries that filled new tables, and run the tables' checks.

    A failure rolls back all changes.
    """
    for rebuild in plan.rebuilds:
        for parameters in rebuild.parameters:
            written_columns(connection, rebuild.table, rebuild.table.query, parameters)
            refuse_failed(run_checks(connection, rebuild.table, parameters))


def _verify(connection: Connection, wanted: Sequence[WantedObject], due: Sequence[WantedObject], root: Path) -> None:
    """Check that the changes left no difference, before the ledger records them."""
    left = plan_ddl(connection, wanted, due, root)
    left.refuse()
    if left.statements:
        raise SchemaDriftError(
            "the changes of the DDL step left differences; nothing was changed. Make these changes in a migration:\n"
            + "\n".join(f"  {name}: {statement.as_string(connection)};" for name, statement in left.statements)
        )


def _state(connection: Connection, wanted: Sequence[WantedObject]) -> tuple[set[str], dict[str, str]]:
    """The existing wanted objects, and the ledger's record of them, in two queries."""
    existing = _existing(connection, wanted)
    return existing, applied_files(connection) if "ledger.applied_files" in existing else {}


def _due(
    connection: Connection,
    wanted: Sequence[WantedObject],
    existing: Collection[str],
    recorded: Mapping[str, str],
    migrated: Collection[str] = (),
) -> list[WantedObject]:
    """The objects to create or compare: missing, recorded with different DDL, or possibly changed by a migration.

    A shared table is due only if it is missing.
    """

    def is_current(each: WantedObject) -> bool:
        is_recorded = recorded.get(each.name) == each.digest(connection) and each.schema not in migrated
        return each.name in existing and (each.is_shared or is_recorded)

    return [each for each in wanted if not is_current(each)]


def _schemas(wanted: Iterable[WantedObject]) -> list[str]:
    return list(dict.fromkeys(each.schema for each in wanted))


def _existing(connection: Connection, wanted: Sequence[WantedObject]) -> set[str]:
    rows = connection.execute(
        "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = ANY(%s) AND c.relname = ANY(%s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')",
        [[each.schema for each in wanted], [each.name.split(".")[1] for each in wanted]],
    )
    return {str(name) for (name,) in rows}.intersection(each.name for each in wanted)


def _missing_schemas(connection: Connection, wanted: Sequence[WantedObject]) -> list[str]:
    schemas = _schemas(wanted)
    rows = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname = ANY(%s)", [schemas])
    existing = {str(schema) for (schema,) in rows}
    return [schema for schema in schemas if schema not in existing]


def _create_schema(schema: str) -> sql.Composed:
    return sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema))
