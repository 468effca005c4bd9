"""The plan of the DDL step: the statements in their order, and the refused differences."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from psycopg import sql

from tasks.engine.build.sql_files import sql_table
from tasks.engine.errors import SchemaDriftError
from tasks.engine.schema.changes import Changes, another_kind, comment_changes, table_changes
from tasks.engine.schema.desired import WantedObject, desired_relations
from tasks.engine.schema.rebuilds import Rebuild, rebuild_of
from tasks.engine.schema.relations import Relation, dependent_views, other_dependents, read_relations
from tasks.engine.warehouse.tables import Connection, table_name

Statement = tuple[str, sql.SQL | sql.Composed]
"""A statement, after the name of its table or view."""


@dataclass
class DdlPlan:
    """The changes that bring some tables and views to their wanted state.

    Attributes:
        statements: All statements, in their order.
        refused: Differences that the step does not resolve, each with the statements that would resolve it.
        rebuilds: Rebuilt tables; `statements` includes their statements.
    """

    statements: list[Statement] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    rebuilds: list[Rebuild] = field(default_factory=list)

    def refuse(self) -> None:
        """Fail if the plan refuses a difference.

        Raises:
            SchemaDriftError: The plan refuses a difference.
        """
        if self.refused:
            raise SchemaDriftError(
                "the warehouse differs from the deployed contracts and files, and Tally does not resolve these"
                " differences; nothing was changed:\n"
                + "\n".join(self.refused)
                + "\nPut the right statements into a migration below sql/<schema>/migrations/, or correct the contract"
                " or the file"
            )


def plan_ddl(
    connection: Connection,
    wanted: Sequence[WantedObject],
    due: Sequence[WantedObject],
    root: Path,
    broken: Collection[str] = (),
) -> DdlPlan:
    """Compare the existing tables and views with the wanted ones.

    Args:
        connection: In a transaction.
        wanted: All wanted tables and views.
        due: The wanted objects that may differ.
        root: Folder of the SQL. The step may drop and create a wanted view, and a view that has a folder there.
        broken: Names of tables whose rows break a new constraint. The step rebuilds these tables if it can.
    """
    found = read_relations(connection, [each.name for each in due])
    plan, desired = DdlPlan(), _desired(connection, wanted) if found else {}
    pairs = [(found[each.name], desired[each.name]) for each in due if each.name in found]
    changes = {one.name: _changes(connection, one, other) for one, other in pairs if not one.kind == other.kind == "v"}
    for each in due:
        refused = list(_refusals(connection, each, changes.get(each.name)))
        if refused or each.name in broken:
            table = sql_table(each.name, root)
            rebuild = rebuild_of(connection, each, table, found[each.name], desired[each.name])
            plan.rebuilds += [rebuild] if rebuild else []
            plan.refused += [] if rebuild else refused
    views = [each.name for each in due if each.is_view and each.name in found and each.name not in changes]
    replaced = [name for name in views if not _may_replace(found[name], desired[name])]
    retyped = [name for name, change in changes.items() if change.is_retyped]
    anew = {rebuild.table.name: rebuild for rebuild in plan.rebuilds}
    plan.refused += _dependents(connection, anew)
    dependent = dependent_views(connection, [*retyped, *replaced, *anew])
    dropped = [*(name for name in replaced if name not in dependent), *dependent]
    own = {each.name for each in wanted}
    plan.refused += [_foreign(name) for name in dropped if not (name in own or sql_table(name, root).text("table.sql"))]

    old = read_relations(connection, dropped)
    plan.statements += [(name, sql.SQL("DROP VIEW {}").format(table_name(name))) for name in reversed(dropped)]
    for each in due:
        if each.name in anew:
            plan.statements += [(each.name, statement) for statement in anew[each.name].statements]
        elif each.name in changes:
            plan.statements += [(each.name, statement) for statement in changes[each.name].statements()]
        elif not each.is_view:
            plan.statements.append((each.name, each.ddl))
    for name in dropped:
        plan.statements += _create_again(desired[name] if name in views else old[name], old[name])
    for each in due:
        if each.is_view and each.name not in (*dropped, *changes):
            plan.statements += _create_or_replace(each, found.get(each.name), desired.get(each.name))
    return plan


def _changes(connection: Connection, found: Relation, wanted: Relation) -> Changes:
    if wanted.is_view:
        return Changes(found.name, refused=[another_kind(found, wanted)])
    return table_changes(connection, found, wanted)


def _desired(connection: Connection, wanted: Sequence[WantedObject]) -> dict[str, Relation]:
    """The wanted state of all objects except existing shared tables, which may differ from their files."""
    shared = read_relations(connection, [each.name for each in wanted if each.is_shared])
    return desired_relations(connection, [each for each in wanted if each.name not in shared])


def _refusals(connection: Connection, each: WantedObject, changes: Changes | None) -> Iterator[str]:
    for sentence, statements in changes.refused if changes else ():
        lines = [f"    {statement.as_string(connection)};" for statement in statements]
        yield "\n".join([f"  {each.name} ({each.origin}), {sentence}", *lines])


def _foreign(view: str) -> str:
    return (
        f"  {view}: Tally did not create this view, and it reads a table or view that must change. Drop the"
        f" view, run again, and create it again\n    DROP VIEW {view};"
    )


def _dependents(connection: Connection, tables: Iterable[str]) -> Iterator[str]:
    for table in tables:
        for other in other_dependents(connection, table):
            yield (
                f"  {table}: a new table must replace this table, and {other} depends on it. Drop {other}, run again,"
                " and create it again"
            )


def _may_replace(found: Relation, wanted: Relation) -> bool:
    """Whether CREATE OR REPLACE VIEW accepts the new definition: it may only add columns after the existing ones."""
    columns = [[(column.name, column.type) for column in each.columns.values()] for each in (found, wanted)]
    is_same = (found.definition, found.options) == (wanted.definition, wanted.options)
    return is_same or (found.kind == wanted.kind and columns[1][: len(columns[0])] == columns[0])


def _create_or_replace(each: WantedObject, found: Relation | None, wanted: Relation | None) -> Iterator[Statement]:
    """Replace a view only if its definition changed, because the replacement locks out readers."""
    if found is None or wanted is None:
        yield each.name, each.ddl
        return
    if (found.definition, found.options) != (wanted.definition, wanted.options):
        yield found.name, _create(sql.SQL("CREATE OR REPLACE VIEW"), wanted)
    yield from ((found.name, statement) for statement in comment_changes(found, wanted))


def _create_again(wanted: Relation, old: Relation) -> Iterator[Statement]:
    yield wanted.name, _create(sql.SQL("CREATE VIEW"), wanted)
    blank = Relation(wanted.name, "v", "", None)
    yield from ((wanted.name, statement) for statement in comment_changes(blank, wanted))
    yield from ((wanted.name, sql.SQL(grant)) for grant in old.grants)


def _create(verb: sql.SQL, wanted: Relation) -> sql.Composed:
    text = sql.SQL((wanted.definition or "").strip().removesuffix(";"))
    return sql.SQL("{} {} {} AS\n{}").format(verb, table_name(wanted.name), sql.SQL(wanted.options), text)


def statements_text(connection: Connection, statements: Sequence[Statement]) -> Mapping[str, list[str]]:
    """Statements as text, by table or view."""
    texts: dict[str, list[str]] = {}
    for name, statement in statements:
        texts.setdefault(name, []).append(statement.as_string(connection).strip())
    return texts
