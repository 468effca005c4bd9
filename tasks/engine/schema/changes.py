"""Compare a table with its wanted state: the statements of the safe changes, and the refused differences."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from psycopg import sql

from tasks.engine.schema.relations import ColumnInfo, Relation
from tasks.engine.warehouse.tables import Connection, table_name
from tasks.engine.warehouse.type_changes import is_widening

_QUOTED_OR_CAST = re.compile(r"'(?:[^']|'')*'|::[\w\". ]+(?:\([\d,]+\))?(?:\[\])*")
_STABLE = ("now()",)
_NAMES = {"c": "check", "f": "foreign key", "p": "primary key", "u": "unique", "x": "exclusion"}


@dataclass
class Changes:
    """The changes that bring one table or view to its wanted state.

    Attributes:
        name: Address of the table or view.
        first: Statements that run before the columns change: they drop constraints and indexes.
        alter: Clauses of one ALTER TABLE.
        then: Statements that run after the ALTER TABLE.
        refused: Differences that the step does not resolve, each with the statements that would resolve it.
        is_retyped: Whether a column's type changes, which Postgres does not allow while views read the table.
    """

    name: str
    first: list[sql.Composed] = field(default_factory=list)
    alter: list[sql.Composed] = field(default_factory=list)
    then: list[sql.Composed] = field(default_factory=list)
    refused: list[tuple[str, tuple[sql.Composed, ...]]] = field(default_factory=list)
    is_retyped: bool = False

    def statements(self) -> list[sql.Composed]:
        """All statements, in their order."""
        altered = [sql.SQL("ALTER TABLE {} {}").format(table_name(self.name), sql.SQL(", ").join(self.alter))]
        return [*self.first, *(altered if self.alter else []), *self.then]


def table_changes(connection: Connection, found: Relation, wanted: Relation) -> Changes:
    """Compare a table with its wanted state, and count rows if a change depends on them."""
    changes = Changes(found.name)
    if (found.kind, found.options) != (wanted.kind, wanted.options):
        changes.refused.append(another_kind(found, wanted))
        return changes
    _compare_names(connection, changes, found, wanted)
    for name, column in wanted.columns.items():
        if there := found.columns.get(name):
            _compare_column(connection, changes, there, column)
            _compare_partitions(changes, found, column)
    _compare_constraints(changes, found, wanted)
    _compare_indexes(changes, found, wanted)
    changes.then += comment_changes(found, wanted)
    return changes


def another_kind(found: Relation, wanted: Relation) -> tuple[str, tuple[sql.Composed, ...]]:
    """The refusal of a table or view that should be of another kind, with the statement that drops it."""
    parts = [f"a {_kind(each)} {each.options}".rstrip() for each in (wanted, found)]
    word = {"v": "VIEW", "m": "MATERIALIZED VIEW", "f": "FOREIGN TABLE"}.get(found.kind, "TABLE")
    drop = sql.SQL("DROP {} {}").format(sql.SQL(word), table_name(found.name))
    return f"expected {parts[0]}, found {parts[1]}", (drop,)


def comment_changes(found: Relation, wanted: Relation) -> Iterator[sql.Composed]:
    """Statements for those comments of a table or view, and of its columns, that differ."""
    if found.comment != wanted.comment:
        kind = sql.SQL("VIEW" if wanted.is_view else "TABLE")
        comment = sql.SQL("COMMENT ON {} {} IS {}")
        yield comment.format(kind, table_name(found.name), sql.Literal(wanted.comment))
    for name, column in wanted.columns.items():
        there = found.columns.get(name)
        if (there.comment if there else None) != column.comment:
            place = sql.Identifier(*found.name.split("."), name)
            yield sql.SQL("COMMENT ON COLUMN {} IS {}").format(place, sql.Literal(column.comment))


def _kind(relation: Relation) -> str:
    kinds = {"r": "table", "p": "partitioned table", "v": "view", "m": "materialized view", "f": "foreign table"}
    return kinds[relation.kind]


def _compare_names(connection: Connection, changes: Changes, found: Relation, wanted: Relation) -> None:
    """Columns on one side only. A rename looks like a removal and an addition, so the step never guesses a rename."""
    table = table_name(found.name)
    missing = [column for name, column in wanted.columns.items() if name not in found.columns]
    extra = [column for name, column in found.columns.items() if name not in wanted.columns]
    for column in extra:
        alter, old = sql.SQL("ALTER TABLE {} ").format(table), sql.Identifier(column.name)
        renames = [
            alter + sql.SQL("RENAME COLUMN {} TO {}").format(old, sql.Identifier(new.name))
            for new in missing
            if new.type == column.type or is_widening(column.type, new.type)
        ]
        sentence = f"column {column.name}: expected no such column, found {column.type}"
        if renames:
            sentence += "; run the first statement for a renamed column, the last statement for a removed column"
        changes.refused.append((sentence, (*renames, alter + sql.SQL("DROP COLUMN {}").format(old))))
    for column in missing:
        clause = sql.SQL("ADD COLUMN {}").format(definition(column))
        renamed = "another column is no longer declared, so this may be a rename"
        reason = renamed if extra else _obstacle(connection, found, column)
        if reason:
            statement = sql.SQL("ALTER TABLE {} ").format(table) + clause
            sentence = f"column {column.name}: expected {column.type}, found no such column; not added: {reason}"
            changes.refused.append((sentence, (statement,)))
        else:
            changes.alter.append(clause)


def definition(column: ColumnInfo) -> sql.Composed:
    """The definition of a column in CREATE TABLE and ADD COLUMN."""
    return sql.Identifier(column.name) + sql.SQL(" " + _declared(column))


def _declared(column: ColumnInfo) -> str:
    """The type of a column, how it gets its values, and whether it allows null."""
    parts = [column.type]
    if column.kind.startswith("identity"):
        parts.append(f"GENERATED {'ALWAYS' if column.kind.endswith('a') else 'BY DEFAULT'} AS IDENTITY")
    elif column.kind:
        parts.append(f"GENERATED ALWAYS AS ({column.default}) {'STORED' if column.kind.endswith('s') else 'VIRTUAL'}")
    elif column.default is not None:
        parts.append(f"DEFAULT {column.default}")
    if not column.is_nullable:
        parts.append("NOT NULL")
    return " ".join(parts)


def _obstacle(connection: Connection, found: Relation, column: ColumnInfo) -> str | None:
    """The reason why a new column is not safe to add; None if it is safe."""
    if column.kind:
        return f"it is {column.kind.split()[0]}, which rewrites the table"
    if column.default is not None:
        rest = _QUOTED_OR_CAST.sub("", column.default)
        is_constant = column.default in _STABLE or not re.search(r"\w\s*\(", rest)
        return None if is_constant else "its default is not a constant"
    query = sql.SQL("SELECT EXISTS (SELECT FROM {})").format(table_name(found.name))
    if not column.is_nullable and connection.execute(query).fetchone() == (True,):
        return "it is NOT NULL without a default, and the table has rows"
    return None


def _compare_column(connection: Connection, changes: Changes, found: ColumnInfo, wanted: ColumnInfo) -> None:
    table, name = table_name(changes.name), sql.Identifier(wanted.name)
    alter = sql.SQL("ALTER COLUMN {} ").format(name)
    if found.kind != wanted.kind or (wanted.kind and found.default != wanted.default):
        statement = sql.SQL("ALTER TABLE {} DROP COLUMN {}, ADD COLUMN {}").format(table, name, definition(wanted))
        sentence = f"column {wanted.name}: expected {_declared(wanted)}, found {_declared(found)}"
        changes.refused.append((sentence, (statement,)))
        return
    if found.type != wanted.type:
        change = alter + sql.SQL(f"TYPE {wanted.type}")
        if is_widening(found.type, wanted.type):
            changes.alter.append(change)
            changes.is_retyped = True
        else:
            change += sql.SQL(" USING {}::{}").format(name, sql.SQL(wanted.type))
            statement = sql.SQL("ALTER TABLE {} ").format(table) + change
            sentence = f"column {wanted.name}: expected {wanted.type}, found {found.type}; the change may lose values"
            changes.refused.append((sentence, (statement,)))
    if found.default != wanted.default:
        default = "DROP DEFAULT" if wanted.default is None else f"SET DEFAULT {wanted.default}"
        changes.alter.append(alter + sql.SQL(default))
    if wanted.is_nullable and not found.is_nullable:
        changes.alter.append(alter + sql.SQL("DROP NOT NULL"))
    if found.is_nullable and not wanted.is_nullable:
        _require(connection, changes, wanted, alter)


def _require(connection: Connection, changes: Changes, wanted: ColumnInfo, alter: sql.Composed) -> None:
    table, name = table_name(changes.name), sql.Identifier(wanted.name)
    row = connection.execute(sql.SQL("SELECT count(*) FROM {} WHERE {} IS NULL").format(table, name)).fetchone()
    count = int(row[0]) if row else 0
    if count:
        statement = sql.SQL("ALTER TABLE {} ").format(table) + alter + sql.SQL("SET NOT NULL")
        fill = sql.SQL("UPDATE {0} SET {1} = ... WHERE {1} IS NULL").format(table, name)
        sentence = f"column {wanted.name}: expected NOT NULL, found NULL in {count:,} rows"
        changes.refused.append((sentence, (fill, statement)))
    else:
        changes.alter.append(alter + sql.SQL("SET NOT NULL"))


def _compare_partitions(changes: Changes, found: Relation, wanted: ColumnInfo) -> None:
    """Drop NOT NULL in the partitions, too: a partition keeps its own NOT NULL after its parent loses it."""
    if not wanted.is_nullable:
        return
    for partition in found.required_in.get(wanted.name, []):
        statement = sql.SQL("ALTER TABLE {} ALTER COLUMN {} DROP NOT NULL")
        changes.then.append(statement.format(table_name(partition), sql.Identifier(wanted.name)))


def _compare_constraints(changes: Changes, found: Relation, wanted: Relation) -> None:
    table = table_name(found.name)
    for name, (kind, text) in wanted.constraints.items():
        there = found.constraints.get(name)
        if there == (kind, text):
            continue
        if there == (kind, f"{text} NOT VALID"):
            changes.then.append(_validate(found.name, name))
            continue
        drop = sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(table, sql.Identifier(name))
        add = sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}").format(table, sql.Identifier(name), sql.SQL(text))
        if kind == "p" or (there and there[0] in {"p", "u", "x"}):
            sentence = f"{_NAMES[kind]} {name}: expected {text}, found {there[1] if there else 'no such constraint'}"
            changes.refused.append((sentence, (drop, add) if there else (add,)))
            continue
        if there:
            changes.first.append(drop)
        is_deferred = kind == "c" or (kind == "f" and found.kind == "r")  # Postgres allows NOT VALID only for these
        changes.then.append(add + sql.SQL(" NOT VALID") if is_deferred else add)
        if is_deferred:
            changes.then.append(_validate(found.name, name))
    for name, (kind, text) in found.constraints.items():
        if name not in wanted.constraints:
            drop = sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(table, sql.Identifier(name))
            changes.refused.append((f"{_NAMES[kind]} {name}: expected no such constraint, found {text}", (drop,)))


def _validate(table: str, constraint: str) -> sql.Composed:
    return sql.SQL("ALTER TABLE {} VALIDATE CONSTRAINT {}").format(table_name(table), sql.Identifier(constraint))


def _compare_indexes(changes: Changes, found: Relation, wanted: Relation) -> None:
    """Compare indexes. An unknown index that is not unique remains, because an administrator may have added it."""
    schema = found.name.split(".")[0]
    for name, text in wanted.indexes.items():
        there = found.indexes.get(name)
        if there == text:
            continue
        if there is not None:
            changes.first.append(sql.SQL("DROP INDEX {}").format(sql.Identifier(schema, name)))
        changes.then.append(sql.SQL("{}").format(sql.SQL(text)))
    for name, text in found.indexes.items():
        if name not in wanted.indexes and text.startswith("CREATE UNIQUE"):
            drop = sql.SQL("DROP INDEX {}").format(sql.Identifier(schema, name))
            changes.refused.append((f"index {name}: expected no such unique index, found {text}", (drop,)))
