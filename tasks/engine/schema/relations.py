"""Read tables and views from Postgres' catalog: columns, keys, constraints, indexes, comments, grants."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tasks.engine.warehouse.tables import Connection


@dataclass(frozen=True)
class ColumnInfo:
    """One column.

    Attributes:
        name: Name of the column.
        type: Type as Postgres prints it, with a collation that differs from the type's default.
        is_nullable: Whether the column takes null.
        default: Expression of the default, or of a generated column.
        kind: Empty for a plain column; `identity` or `generated` for a column that Postgres fills.
        comment: Comment of the column.
    """

    name: str
    type: str
    is_nullable: bool
    default: str | None
    kind: str
    comment: str | None


@dataclass(frozen=True)
class Relation:
    """A table or a view.

    Attributes:
        name: Address, `schema.name`.
        kind: Postgres' letter: `r` a table, `p` a partitioned table, `v` a view, `m` a materialized view.
        options: Persistence, partition key and storage options.
        comment: Comment of the table or view.
        definition: SELECT of a view.
        columns: Columns by name, in order.
        constraints: Kind (`c`, `f`, `p`, `u`, `x`) and definition of each constraint, by name.
        indexes: Definitions of the indexes without a constraint, by name.
        partitions: Partitions at all levels of a partitioned table.
        required_in: Partitions in which a column does not take null, by column.
        grants: Statements that grant the current rights again.
    """

    name: str
    kind: str
    options: str
    comment: str | None
    definition: str | None = None
    columns: dict[str, ColumnInfo] = field(default_factory=dict)
    constraints: dict[str, tuple[str, str]] = field(default_factory=dict)
    indexes: dict[str, str] = field(default_factory=dict)
    partitions: list[str] = field(default_factory=list)
    required_in: dict[str, list[str]] = field(default_factory=dict)
    grants: tuple[str, ...] = ()

    @property
    def is_view(self) -> bool:
        """Whether this is a view or a materialized view."""
        return self.kind in {"v", "m"}


_RELATIONS = """
SELECT c.oid, n.nspname || '.' || c.relname, c.relkind::text,
    concat_ws(' ', CASE c.relpersistence WHEN 'u' THEN 'UNLOGGED' END,
        'PARTITION BY ' || pg_get_partkeydef(c.oid), 'WITH (' || array_to_string(c.reloptions, ', ') || ')'),
    obj_description(c.oid, 'pg_class'),
    CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE (n.nspname || '.' || c.relname) = ANY(%s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""
_COLUMNS = """
SELECT a.attrelid, a.attname,
    format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attcollation <> t.typcollation
        THEN coalesce(' COLLATE ' || quote_ident(l.collname), '') ELSE '' END,
    NOT a.attnotnull, pg_get_expr(d.adbin, d.adrelid),
    CASE WHEN a.attidentity <> '' THEN 'identity ' || a.attidentity::text
        WHEN a.attgenerated <> '' THEN 'generated ' || a.attgenerated::text ELSE '' END,
    col_description(a.attrelid, a.attnum)
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_collation l ON l.oid = a.attcollation
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = ANY(%s) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum
"""
_CONSTRAINTS = """
SELECT conrelid, conname, contype::text, pg_get_constraintdef(oid) FROM pg_constraint
WHERE conrelid = ANY(%s) AND contype IN ('c', 'f', 'p', 'u', 'x') AND conparentid = 0 ORDER BY conrelid, conname
"""
_INDEXES = """
SELECT i.indrelid, c.relname,
    replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON ') || CASE WHEN i.indisvalid THEN '' ELSE ' INVALID' END
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = ANY(%s)
    AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
ORDER BY i.indrelid, c.relname
"""
_PARTITIONS = """
SELECT r.oid, n.nspname || '.' || c.relname, ARRAY(
    SELECT b.attname::text FROM pg_attribute b
    WHERE b.attrelid = p.relid AND b.attnotnull AND NOT b.attisdropped AND b.attnum > 0
)
FROM unnest(%s::oid[]) AS r (oid) CROSS JOIN LATERAL pg_partition_tree(r.oid::regclass) AS p
JOIN pg_class c ON c.oid = p.relid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE p.level > 0 ORDER BY 1, 2
"""
_GRANTS = """
SELECT c.oid, format('GRANT %%s%%s ON %%I.%%I TO %%s%%s', a.privilege_type,
    CASE WHEN a.attname IS NULL THEN '' ELSE format(' (%%I)', a.attname) END, n.nspname, c.relname,
    CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
    CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace CROSS JOIN LATERAL (
    SELECT e.*, NULL::name AS attname FROM aclexplode(c.relacl) AS e
    UNION ALL SELECT e.*, b.attname FROM pg_attribute b, aclexplode(b.attacl) AS e WHERE b.attrelid = c.oid
) AS a
WHERE c.oid = ANY(%s) AND a.grantee <> c.relowner ORDER BY c.oid, 2
"""
_DEPENDENTS = """
WITH RECURSIVE found (oid, depth) AS (
    SELECT c.oid, 0 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE (n.nspname || '.' || c.relname) = ANY(%s)
    UNION
    SELECT r.ev_class, f.depth + 1 FROM found f JOIN pg_depend d ON d.refobjid = f.oid
        AND d.refclassid = 'pg_class'::regclass AND d.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite r ON r.oid = d.objid WHERE r.ev_class <> f.oid
)
SELECT n.nspname || '.' || c.relname FROM found f JOIN pg_class c ON c.oid = f.oid
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE f.depth > 0 GROUP BY 1 ORDER BY max(f.depth), 1
"""


def read_relations(
    connection: Connection, names: Iterable[str], rename: Callable[[str], str] = lambda text: text
) -> dict[str, Relation]:
    """Read some tables and views, by name. The result lacks those that do not exist.

    Args:
        connection: To the warehouse.
        names: Addresses, `schema.table`.
        rename: Function to apply to every text that may name a schema.
    """
    names = list(names)
    found = {row[0]: row for row in connection.execute(_RELATIONS, [names])} if names else {}
    relations = {
        oid: Relation(rename(name), kind, options, _renamed(comment, rename), _renamed(definition, rename))
        for oid, name, kind, options, comment, definition in found.values()
    }
    oids = list(relations)
    for oid, *values in _rows(connection, _COLUMNS, oids):
        name, type_, is_nullable, default, kind, comment = values
        relations[oid].columns[name] = ColumnInfo(
            name, type_, is_nullable, _renamed(default, rename), kind, _renamed(comment, rename)
        )
    for oid, name, kind, definition in _rows(connection, _CONSTRAINTS, oids):
        relations[oid].constraints[name] = (kind, rename(definition))
    for oid, name, definition in _rows(connection, _INDEXES, oids):
        relations[oid].indexes[name] = rename(definition)
    for oid, partition, required in _rows(connection, _PARTITIONS, oids):
        relations[oid].partitions.append(partition)
        for column in required:
            relations[oid].required_in.setdefault(column, []).append(partition)
    grants: dict[int, list[str]] = {}
    for oid, grant in _rows(connection, _GRANTS, oids):
        grants.setdefault(oid, []).append(grant)
    return {each.name: replace(each, grants=tuple(grants.get(oid, ()))) for oid, each in relations.items()}


def dependent_views(connection: Connection, names: Sequence[str]) -> list[str]:
    """Views that read some tables or views, directly or through others; each after the views that it reads."""
    return [str(row[0]) for row in connection.execute(_DEPENDENTS, [list(names)])] if names else []


def other_dependents(connection: Connection, table: str) -> list[str]:
    """Everything except views that depends on a table, as Postgres describes it, such as a foreign key or a function.

    The list leaves out everything that belongs to the table itself, such as its own constraints.
    """
    rows = connection.execute(
        "WITH own AS (SELECT c.oid, c.reltype FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE (n.nspname, c.relname) = (%s, %s))"
        " SELECT DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid)"
        " FROM own JOIN pg_depend d ON d.deptype = 'n' AND ("
        " (d.refclassid = 'pg_class'::regclass AND (d.refobjid = own.oid"
        " OR d.refobjid IN (SELECT indexrelid FROM pg_index WHERE indrelid = own.oid)))"
        " OR (d.refclassid = 'pg_type'::regclass AND d.refobjid = own.reltype))"
        " WHERE d.classid <> 'pg_rewrite'::regclass AND NOT EXISTS (SELECT FROM pg_constraint k"
        " WHERE d.classid = 'pg_constraint'::regclass AND k.oid = d.objid AND k.conrelid = own.oid) ORDER BY 1",
        table.split("."),
    )
    return [str(name) for (name,) in rows]


def _rows(connection: Connection, query: str, oids: list[int]) -> list[tuple[Any, ...]]:
    return connection.execute(query.encode(), [oids]).fetchall() if oids else []


def _renamed(text: str | None, rename: Callable[[str], str]) -> str | None:
    return None if text is None else rename(text)
