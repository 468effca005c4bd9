"""Checks of rights: each role has the rights that its work needs, and no more."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tasks.engine.doctor.outcomes import Check, Finding, ok, problem, skipped, warning
from tasks.engine.doctor.warehouse_server import Warehouse
from tasks.engine.quoting import listed
from tasks.engine.schema.rights import ANALYST, LOADER, Relation, pipelines, relations_of

RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
GRANT = ".venv/bin/python -m deployments.grants --apply"
AS_OWNER = f"With the owner's DSN in WAREHOUSE_DSN:\n{GRANT}"

_PRIVILEGES = """
SELECT t.name, pg_get_userbyid(c.relowner), pg_has_role(%(role)s, c.relowner, 'USAGE'),
    has_schema_privilege(%(role)s, c.relnamespace, 'USAGE'),
    ARRAY(SELECT r FROM unnest(%(rights)s::text[]) AS r WHERE has_table_privilege(%(role)s, c.oid, r))
FROM unnest(%(names)s::text[]) AS t (name)
JOIN pg_class AS c ON c.relname = split_part(t.name, '.', 2)
JOIN pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = split_part(t.name, '.', 1)
ORDER BY t.name
"""


@dataclass(frozen=True)
class _Held:
    """The rights of a role on one table or view."""

    name: str
    owner: str
    is_owner: bool
    may_enter: bool
    rights: frozenset[str]


def known_relations() -> dict[str, Relation]:
    """The tables and views of all pipelines, by name."""
    return {relation.name: relation for pipeline in pipelines().values() for relation in relations_of(pipeline)}


def check_own_rights(warehouse: Warehouse) -> Iterator[Finding]:
    """The role that is logged in may do what runs do."""
    role, is_super, may_create = warehouse.one(
        "SELECT current_user::text, rolsuper, has_database_privilege(current_database(), 'CREATE')"
        " FROM pg_roles WHERE rolname = current_user"
    )
    relations, held = known_relations(), _held(warehouse, str(role))
    if is_super:
        yield ok(f"{role} is a superuser and has every right")
        return
    absent = sorted(relations.keys() - {each.name for each in held})
    if absent and not may_create:
        yield problem(
            f"{listed(absent, 5)} do not exist, and {role} may not create schemas",
            "tables that the owner has created, or a role that may create schemas and tables",
            AS_OWNER,
        )
    missing = [text for each in held for text in _missing(each, _wanted_of_loader(relations[each.name]))]
    missing += _missing_in_database(warehouse, str(role))
    if missing:
        yield problem(f"{role} lacks {listed(missing)}", "the rights of the loader, which runs need", AS_OWNER)
    elif held:
        yield ok(f"{role} has the rights of the flows on {len(held)} tables and views")
    else:
        yield ok(f"{role} may create Tally's tables, which do not exist yet")


def _wanted_of_loader(relation: Relation) -> tuple[str, ...]:
    # The owner of a shared table decides who writes to it. The loader only has to read it.
    return ("SELECT",) if relation.is_shared else relation.loader


def check_loader(warehouse: Warehouse) -> Iterator[Finding]:
    """The loader's role has exactly the rights that its work needs."""
    yield from _compare(warehouse, LOADER, is_loader=True)


def check_analyst(warehouse: Warehouse) -> Iterator[Finding]:
    """The analyst's role reads results, and nothing else."""
    yield from _compare(warehouse, ANALYST, is_loader=False)


def _compare(warehouse: Warehouse, role: str, *, is_loader: bool) -> Iterator[Finding]:
    if not warehouse.one("SELECT 1 FROM pg_roles WHERE rolname = %s", role):
        yield skipped(f"role {role} does not exist: one role owns the tables and runs the flows")
        return
    relations, held = known_relations(), _held(warehouse, role)
    missing = _missing_in_database(warehouse, role) if is_loader else []
    extra: list[str] = []
    for each in held:
        relation = relations[each.name]
        if relation.is_shared and not _has_the_owner_of_the_ledger(warehouse, each):
            continue  # another owner decides
        wanted = relation.loader if is_loader else ("SELECT",) if relation.is_read else ()
        missing += _missing(each, wanted)
        extra += _extra(each, wanted, may_own=is_loader and relation.gets_partitions)
    if missing:
        yield problem(f"{role} lacks {listed(missing)}", "the rights that its work needs", AS_OWNER)
    if extra:
        yield warning(
            f"{role} also has {listed(extra)}",
            "only the rights that its work needs. PUBLIC or another role may give it these rights",
            AS_OWNER,
        )
    if not missing and not extra:
        yield ok(f"{role} has the rights that it needs on {len(held)} tables and views, and no more")


def _held(warehouse: Warehouse, role: str) -> list[_Held]:
    values = {"role": role, "rights": list(RIGHTS), "names": sorted(known_relations())}
    rows = warehouse.connection.execute(_PRIVILEGES, values).fetchall()
    return [
        _Held(name, owner, is_owner, may_enter, frozenset(rights)) for name, owner, is_owner, may_enter, rights in rows
    ]


def _missing_in_database(warehouse: Warehouse, role: str) -> list[str]:
    """The right to temporary tables if the role lacks it. Merges, histories and parallel builds need them."""
    (database, may_create) = warehouse.one(
        "SELECT current_database(), has_database_privilege(%s, current_database(), 'TEMPORARY')", role
    )
    return [] if may_create else [f"TEMPORARY on the database {database}"]


def _has_the_owner_of_the_ledger(warehouse: Warehouse, each: _Held) -> bool:
    owner = warehouse.one(
        "SELECT pg_get_userbyid(relowner) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'ledger' AND c.relname = 'loads'"
    )
    return owner == (each.owner,)


def _missing(each: _Held, wanted: Sequence[str]) -> list[str]:
    if wanted and not each.may_enter:
        return [f"USAGE on the schema of {each.name}"]
    rights = [right for right in wanted if right not in each.rights]
    return [f"{', '.join(rights)} on {each.name}"] if rights else []


def _extra(each: _Held, wanted: Sequence[str], *, may_own: bool) -> list[str]:
    if each.is_owner:
        return [] if may_own else [f"ownership of {each.name}"]
    rights = [right for right in RIGHTS if right in each.rights and right not in wanted]
    return [f"{', '.join(rights)} on {each.name}"] if rights else []


RIGHT_CHECKS = (
    Check("rights of this role", check_own_rights),
    Check("rights of the loader", check_loader),
    Check("rights of the analyst", check_analyst),
)
