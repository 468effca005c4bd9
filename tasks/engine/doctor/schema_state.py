"""Checks of the tables: they are as contracts and files describe them, and every migration has run."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg
from psycopg import sql

from tasks.contracts import Contract
from tasks.engine.doctor.outcomes import Check, Finding, counted, ok, problem, skipped, warning
from tasks.engine.doctor.warehouse_server import Warehouse
from tasks.engine.errors import SchemaDriftError
from tasks.engine.quoting import listed, shown
from tasks.engine.schema.applied_ddl import applied_files
from tasks.engine.schema.ddl_plan import DdlPlan, plan_ddl, statements_text
from tasks.engine.schema.desired import WantedObject, wanted_objects
from tasks.engine.schema.migrations import pending_migrations
from tasks.engine.schema.relations import dependent_views, read_relations
from tasks.engine.warehouse.tables import has_table

STATEMENT_LIMIT = 200
_FORGET = sql.SQL("DELETE FROM ledger.applied_files WHERE path = {};")
_ALIAS = re.compile(r'\) (\w+)\([\w", ]+\)')
"""The alias of a function in FROM, with the names of its columns."""

FIRST_RUN = "Run the pipeline: its first step creates its tables"


class SchemaState:
    """The tables that contracts and files describe, in one warehouse.

    Args:
        warehouse: The warehouse.
        contracts: All contracts.
        schemas: The schemas under `sql/` without the ledger.
        root: Folder of the SQL.
    """

    def __init__(self, warehouse: Warehouse, contracts: Sequence[Contract], schemas: Sequence[str], root: Path) -> None:
        self.warehouse, self.connection, self.root = warehouse, warehouse.connection, root
        self.wanted = wanted_objects(contracts, schemas, root)

    @property
    def has_ledger(self) -> bool:
        """Whether the ledger exists."""
        return has_table(self.connection, "ledger.applied_files")

    def existing(self) -> list[WantedObject]:
        """The wanted tables and views that exist."""
        found = read_relations(self.connection, [each.name for each in self.wanted])
        return [each for each in self.wanted if each.name in found]


def check_missing(state: SchemaState) -> Iterator[Finding]:
    """Every table that a run created still exists. The next run creates a table that never existed."""
    names = {each.name for each in state.existing()}
    missing = [each for each in state.wanted if each.name not in names]
    recorded = applied_files(state.connection) if state.has_ledger else {}
    dropped = [each.name for each in missing if each.name in recorded]
    if dropped:
        yield problem(
            f"{listed(dropped)}: created by a run, and dropped since then",
            "every table that a run created",
            "The next run of the pipeline creates the tables and loads the objects again. To get the rows of a backup,"
            " restore the tables before that run",
        )
    new = [each.name for each in missing if each.name not in recorded]
    if new:
        yield skipped(
            f"{len(new)} tables and views do not exist yet, because their pipelines have not run: {listed(new, 3)}",
            FIRST_RUN,
        )
    if not missing:
        yield ok(f"all {len(state.wanted)} tables and views exist")


def check_drift(state: SchemaState) -> Iterator[Finding]:
    """Compare every existing table with its contract or file, even if the ledger records the same text."""
    if not state.has_ledger:
        yield skipped("the ledger does not exist yet: the first run creates it")
        return
    due = [each for each in state.existing() if not each.is_shared]
    try:
        plan = _plan(state, due)
    except psycopg.errors.InsufficientPrivilege:
        yield from _compare_texts(state, due)
        return
    yield from (
        problem(
            f"a difference that the DDL step refuses: {shown(text.strip().splitlines()[0], STATEMENT_LIMIT)}",
            "tables as the contracts and the files under sql/ describe them",
            _migration_step(text),
        )
        for text in plan.refused
    )
    changes = list(_changes(state, plan))
    yield from changes
    if not plan.refused and not changes:
        yield ok(f"{len(due)} tables and views are as contracts and files describe them")


def _plan(state: SchemaState, due: Sequence[WantedObject]) -> DdlPlan:
    with state.connection.transaction(force_rollback=True):
        state.connection.execute("SET LOCAL lock_timeout = '3s'")
        existing = {each.name for each in due}
        return plan_ddl(state.connection, [each for each in state.wanted if each.name in existing], due, state.root)


def _compare_texts(state: SchemaState, due: Sequence[WantedObject]) -> Iterator[Finding]:
    recorded = applied_files(state.connection)
    old = [each.name for each in due if recorded.get(each.name) != each.digest(state.connection)]
    if old:
        yield warning(
            f"the DDL that the ledger records is not the deployed DDL: {listed(old)}",
            "the DDL of the deployed contracts and files",
            "As the owner:\n.venv/bin/python -m deployments.grants --apply",
        )
    yield skipped(
        "this role may not create schemas, so the doctor compared only the recorded DDL, and not the tables",
        "Run the doctor with the DSN of the owner",
    )


def _migration_step(text: str) -> str:
    statements = _statements_of(text)
    if "DROP TABLE" in statements:  # the table holds rows, so nobody should paste the statement
        return "Undo the change by hand, such as with ALTER TABLE ... RESET (...). Do not drop the table: it holds rows"
    return f"Correct the contract or the file, or write a migration with:\n{statements}"


def _statements_of(text: str) -> str:
    return "\n".join(line.strip() for line in text.strip().splitlines()[1:])


def _changes(state: SchemaState, plan: DdlPlan) -> Iterator[Finding]:
    """What the DDL step would change: each object that somebody changed, and all pending changes together."""
    recorded, digests = applied_files(state.connection), {each.name: each for each in state.wanted}
    texts = _differences(state, plan)
    pending = [name for name in texts if recorded.get(name) != digests[name].digest(state.connection)]
    # A view that reads a changed table may differ until the table's change is made.
    pending += [name for name in dependent_views(state.connection, pending) if name in texts and name not in pending]
    for name, statements in texts.items():
        if name not in pending:
            step = ";\n".join(statements) + ";"
            if digests[name].is_view:  # its definition may be long
                step = _FORGET.format(sql.Literal(name)).as_string() + "\nThen run the pipeline, which creates it again"
            yield problem(f"{name} was changed outside of Tally", "the state that its contract or file describes", step)
    if pending:
        yield warning(
            f"{counted(len(pending), 'table or view has', 'tables and views have')} pending changes:"
            f" {listed(pending, 5)}",
            "no pending change: the contracts or files changed since the last run of their pipelines",
            "Run the pipelines: their first step makes the changes. To see the statements first:\n"
            ".venv/bin/prefect deployment run plan/plan -p dataset=<dataset> --watch",
        )


def _differences(state: SchemaState, plan: DdlPlan) -> dict[str, list[str]]:
    """The statements of the plan by object, without views that differ only in the columns of an alias.

    Postgres lists the columns of a row type that a view uses. The list of an older view lacks columns that the type
    gained later.
    """
    texts = {name: list(lines) for name, lines in statements_text(state.connection, plan.statements).items()}
    found = read_relations(
        state.connection, [each.name for each in state.wanted if each.is_view and each.name in texts]
    )
    for name, view in found.items():
        (first, *others) = texts[name]
        there = f"AS {view.definition or ''}"
        if first.startswith("CREATE OR REPLACE VIEW") and _words(first).endswith(_words(there)):
            texts[name] = others
    return {name: lines for name, lines in texts.items() if lines}


def _words(definition: str) -> str:
    return " ".join(_ALIAS.sub(r") \1", definition).removesuffix(";").split())


def check_migrations(state: SchemaState) -> Iterator[Finding]:
    """Every migration has run, and none was edited afterwards."""
    if not state.has_ledger:
        yield skipped("the ledger does not exist yet: the first run creates it")
        return
    schemas = list(dict.fromkeys(each.schema for each in state.existing()))
    try:
        pending = pending_migrations(schemas, applied_files(state.connection), state.root)
    except SchemaDriftError as error:
        yield problem(str(error), "migrations as they ran", "Restore the file from the version that was deployed")
        return
    if pending:
        yield warning(
            f"pending: {listed(each.path for each in pending)}",
            "no pending migration",
            "Run one of the pipelines that use the schema: its first step runs the migrations",
        )
    else:
        yield ok("no migration is pending")


def check_indexes(state: SchemaState) -> Iterator[Finding]:
    """Every index is valid. Postgres maintains an invalid index of an interrupted CREATE INDEX and never uses it."""
    rows = state.connection.execute(
        "SELECT n.nspname, c.relname FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid"
        " JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE NOT i.indisvalid AND n.nspname = ANY(%s)"
        " ORDER BY 1, 2",
        [list(dict.fromkeys(each.schema for each in state.wanted))],
    ).fetchall()
    for schema, name in rows:
        index = sql.Identifier(schema, name).as_string()
        yield problem(f"index {schema}.{name} is invalid", "valid indexes", f"REINDEX INDEX {index};")
    if not rows:
        yield ok("every index is valid")


SCHEMA_CHECKS = (
    Check("tables exist", check_missing),
    Check("tables as described", check_drift),
    Check("migrations", check_migrations),
    Check("indexes", check_indexes),
)
