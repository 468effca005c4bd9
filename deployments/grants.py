"""Rights of three roles, derived from the contracts and from `sql/`: `python -m deployments.grants`.

The owner applies DDL and runs this command. The loader runs the flows, and the analyst reads the built tables. The
command prints SQL. `--apply` creates the tables in the warehouse of `WAREHOUSE_DSN` and applies the SQL in one
transaction.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from psycopg import sql

from tasks.engine.build.sql_files import ROOT
from tasks.engine.errors import SettingsError, TallyError, errors_at
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.schema.rights import ANALYST, LOADER, Relation, pipelines, relations_of
from tasks.engine.settings import read_warehouse
from tasks.engine.warehouse.tables import Connection, connect, table_name


def grants_sql(
    pipeline_names: Sequence[str], loader: str = LOADER, analyst: str = ANALYST, root: Path = ROOT
) -> sql.Composed:
    """The statements that grant two roles their rights, and revoke every other right on the same tables.

    Args:
        pipeline_names: Names of the pipelines; empty for all pipelines.
        loader: Role that runs the flows.
        analyst: Role that reads the results.
        root: Folder of the SQL.

    Raises:
        SettingsError: A pipeline does not exist.
    """
    known = pipelines(root)
    if unknown := sorted(set(pipeline_names) - known.keys()):
        raise SettingsError(f"expected a pipeline of {', '.join(known)}, found {', '.join(unknown)}")
    relations = {
        relation.name: relation for name in pipeline_names or known for relation in relations_of(known[name], root)
    }
    roles = sql.Identifier(loader), sql.Identifier(analyst)
    statements = [*_create_roles(loader, analyst), *_of_schemas(list(relations.values()), *roles)]
    for relation in relations.values():
        of_relation = sql.SQL("; ").join(_of_relation(relation, *roles))
        statements.append(_where_owned(relation, of_relation) if relation.is_shared else of_relation)
    return sql.SQL(";\n").join(statements) + sql.SQL(";\n")


def _create_roles(loader: str, analyst: str) -> Iterator[sql.Composed]:
    for role in (loader, analyst):
        yield _unless(
            sql.SQL("SELECT FROM pg_roles WHERE rolname = {}").format(sql.Literal(role)),
            sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)),
        )
    # The owner must still be able to apply DDL to tables of the loader.
    yield _unless(
        sql.SQL("SELECT WHERE pg_has_role(current_user, {}, 'USAGE')").format(sql.Literal(loader)),
        sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(loader)),
    )
    for right, roles in (("CONNECT", (loader, analyst)), ("TEMPORARY", (loader,))):
        yield _execute(
            sql.SQL("format('GRANT {} ON DATABASE %I TO {}', current_database())").format(
                sql.SQL(right), sql.SQL(", ").join(map(sql.Identifier, roles))
            )
        )


def _of_schemas(
    relations: Sequence[Relation], loader: sql.Identifier, analyst: sql.Identifier
) -> Iterator[sql.Composed]:
    for schema in dict.fromkeys(relation.schema for relation in relations):
        own = [relation for relation in relations if relation.schema == schema]
        name = sql.Identifier(schema)
        usage = [sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(name, loader)]
        if any(relation.gets_partitions for relation in own):
            usage.append(sql.SQL("GRANT CREATE ON SCHEMA {} TO {}").format(name, loader))
        if any(relation.is_read for relation in own):
            usage.append(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(name, analyst))
        statement = sql.SQL("; ").join(usage)
        if any(relation.is_shared for relation in own):
            yield _if(
                sql.SQL("SELECT FROM pg_namespace WHERE nspname = {} AND pg_has_role(nspowner, 'USAGE')").format(
                    sql.Literal(schema)
                ),
                statement,
            )
            continue
        yield statement
        if schema == "ledger":
            yield sql.SQL("GRANT USAGE ON ALL SEQUENCES IN SCHEMA {} TO {}").format(name, loader)
        yield from _for_tables_to_come(own, name, loader, analyst)


def _for_tables_to_come(
    own: Sequence[Relation], schema: sql.Identifier, loader: sql.Identifier, analyst: sql.Identifier
) -> Iterator[sql.Composed]:
    """Grant the common rights of a schema's tables on tables that the owner creates or rebuilds later."""
    tables = [relation for relation in own if not relation.is_generated]
    shared_rights = [right for right in tables[0].loader if all(right in each.loader for each in tables)]
    wanted = [(loader, shared_rights)]
    if all(relation.is_read for relation in own):
        wanted.append((analyst, ["SELECT"]))
    for role, rights in wanted:
        yield sql.SQL("ALTER DEFAULT PRIVILEGES IN SCHEMA {} GRANT {} ON TABLES TO {}").format(
            schema, sql.SQL(", ".join(rights)), role
        )


def _of_relation(relation: Relation, loader: sql.Identifier, analyst: sql.Identifier) -> Iterator[sql.Composed]:
    table = table_name(relation.name)
    if relation.gets_partitions:
        # The loader owns such a table with its partitions, and so has every right.
        yield sql.SQL("REVOKE ALL ON {} FROM {}").format(table, analyst)
        yield sql.SQL("ALTER TABLE {} OWNER TO {}").format(table, loader)
        yield _loop(
            sql.SQL("SELECT relid FROM pg_partition_tree({}) WHERE level > 0").format(sql.Literal(relation.name)),
            sql.SQL("format('ALTER TABLE %s OWNER TO {}', part)").format(loader),
        )
        return
    yield sql.SQL("REVOKE ALL ON {} FROM {}, {}").format(table, loader, analyst)
    yield sql.SQL("GRANT {} ON {} TO {}").format(sql.SQL(", ".join(relation.loader)), table, loader)
    if relation.is_read:
        yield sql.SQL("GRANT SELECT ON {} TO {}").format(table, analyst)


def _where_owned(relation: Relation, statement: sql.Composable) -> sql.Composed:
    """Apply rights only if the current role owns the table, because only the owner can grant rights."""
    return _if(
        sql.SQL("SELECT FROM pg_class WHERE oid = to_regclass({}) AND pg_has_role(relowner, 'USAGE')").format(
            sql.Literal(relation.name)
        ),
        statement,
    )


def _if(condition: sql.Composable, statement: sql.Composable) -> sql.Composed:
    return sql.SQL("DO $$ BEGIN IF EXISTS ({}) THEN {}; END IF; END $$").format(condition, statement)


def _unless(condition: sql.Composable, statement: sql.Composable) -> sql.Composed:
    return sql.SQL("DO $$ BEGIN IF NOT EXISTS ({}) THEN {}; END IF; END $$").format(condition, statement)


def _execute(text: sql.Composable) -> sql.Composed:
    return sql.SQL("DO $$ BEGIN EXECUTE {}; END $$").format(text)


def _loop(query: sql.Composable, text: sql.Composable) -> sql.Composed:
    loop = sql.SQL("DO $$ DECLARE part regclass; BEGIN FOR part IN {} LOOP EXECUTE {}; END LOOP; END $$")
    return loop.format(query, text)


def apply_grants(connection: Connection, pipeline_names: Sequence[str], loader: str, analyst: str) -> None:
    """Create the tables of some pipelines, and grant the roles their rights in one transaction.

    Raises:
        WarehouseError: The connection's role does not own the tables, or may not create or grant the roles.
    """
    statements = grants_sql(pipeline_names, loader, analyst)
    known = pipelines()
    apply_ddl(connection, [], [])  # the ledger, also if the project has no pipeline
    for name in pipeline_names or known:
        apply_ddl(connection, known[name].contracts, known[name].schemas)
    with errors_at("grants"), connection.transaction():
        connection.execute(statements)


def _no_block() -> Mapping[str, Any]:
    raise SettingsError("WAREHOUSE_DSN is not set: set it to the DSN of the role that owns the tables")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the grants, or apply them; the exit code is 0 after a success."""
    parser = argparse.ArgumentParser(prog="python -m deployments.grants", description="Rights of loader and analyst.")
    parser.add_argument("--loader", default=LOADER, help=f"role that runs the flows, default {LOADER}")
    parser.add_argument("--analyst", default=ANALYST, help=f"role that reads the results, default {ANALYST}")
    parser.add_argument("--pipeline", action="append", default=[], help="name of a pipeline; default: all")
    parser.add_argument("--apply", action="store_true", help="create the tables and apply the SQL to WAREHOUSE_DSN")
    options = parser.parse_args(arguments)
    try:
        if not options.apply:
            print(f"BEGIN;\n{grants_sql(options.pipeline, options.loader, options.analyst).as_string()}COMMIT;")
            return 0
        with connect(read_warehouse(os.environ, _no_block), "tally grants") as connection:
            apply_grants(connection, options.pipeline, options.loader, options.analyst)
    except TallyError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"Granted: {options.loader}, {options.analyst}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
