"""DDL: the staging tables of contracts and the tables under `sql/` come into being, each change of a file once."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from psycopg import sql

from tasks.contracts import Contract
from tasks.engine import ledger
from tasks.engine.errors import errors_at
from tasks.engine.sql_files import ROOT, tables_of
from tasks.engine.warehouse import Connection, has_schema, has_table, lock, staging_ddl


@errors_at("DDL")
def apply_ddl(
    connection: Connection, contracts: Sequence[Contract], schemas: Sequence[str], root: Path = ROOT
) -> list[str]:
    """Bring staging tables and the tables of some schemas into being; what stands as it is written is left alone.

    A schema that stands is not touched, nor is a shared table, whoever made it and however: they may belong to a role
    that lets this one do no more than read.

    Returns:
        What was applied, by address.
    """
    wanted: dict[str, sql.SQL | sql.Composed] = {}
    for schema in ("ledger", *schemas):
        if not has_schema(connection, schema):
            wanted[schema] = sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema))
        if schema == "ledger":
            wanted |= {contract.table: staging_ddl(contract) for contract in contracts}
        for table in tables_of(schema, root):
            text = table.text("table.sql")
            if text and not (table.is_shared and has_table(connection, table.name)):
                wanted[table.name] = sql.SQL(text)
    digests = {name: hashlib.sha256(ddl.as_bytes(connection)).hexdigest() for name, ddl in wanted.items()}
    if ledger.applied_files(connection).items() >= digests.items():
        return []
    with connection.transaction():
        lock(connection, "ddl")
        applied = ledger.applied_files(connection)
        due = [name for name in wanted if applied.get(name) != digests[name]]
        for name in due:
            with errors_at(f"DDL of {name}"):
                connection.execute(wanted[name])
        for name in due:
            ledger.write_applied(connection, name, digests[name])
    return due
