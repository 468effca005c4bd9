"""Tables of the warehouse, and the DDL of staging tables."""

from collections.abc import Mapping

from psycopg import sql

from tasks.contracts import LINE_NUMBER, LOAD_COLUMNS, LOAD_ID, Contract
from tasks.engine.warehouse.locks import LOCK_WAIT, lock
from tasks.engine.warehouse.sessions import Connection, connect

__all__ = ["LOCK_WAIT", "Connection", "connect", "lock"]


def table_name(table: str) -> sql.Identifier:
    """Convert `schema.table` into a quoted identifier."""
    return sql.Identifier(*table.split("."))


def has_schema(connection: Connection, schema: str) -> bool:
    """Return whether a schema exists."""
    row = connection.execute("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = %s)", [schema]).fetchone()
    return row == (True,)


def count_rows(connection: Connection, table: str) -> int:
    """Return the number of rows of a table."""
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(table_name(table))).fetchone()
    return int(row[0]) if row else 0


def has_table(connection: Connection, table: str) -> bool:
    """Return whether a table, view or foreign table `schema.table` exists.

    The function queries the catalog, because `to_regclass` uses a cache. Inside a transaction, for example after a wait
    for a lock, the cache may miss what another session has committed.
    """
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM pg_class WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = %s)"
        " AND relname = %s)",
        table.split("."),
    ).fetchone()
    return row == (True,)


def shared_column_types(contract: Contract) -> dict[str, str]:
    """Return the columns with the same value in all rows of a load, with their types."""
    partition = {contract.partition.column: "date"} if contract.partition else {}
    return partition | {LOAD_ID: "bigint"}


def _shared_comments(contract: Contract) -> dict[str, str]:
    """Return the comments of the columns with the same value in all rows of a load."""
    comments = {LOAD_ID: "Load that wrote the row: ledger.loads names its object and its time"}
    if contract.partition is None:
        return comments
    meaning = "First day of the month" if contract.partition.unit == "month" else "Day"
    return {contract.partition.column: f"{meaning} that the key of the row's file names"} | comments


def shared_columns_ddl(contract: Contract) -> dict[str, sql.Composed]:
    """Return the definitions of the columns with the same value in all rows of a load."""
    return {name: _column(name, type_) for name, type_ in shared_column_types(contract).items()}


def columns_ddl(contract: Contract) -> list[sql.Composed]:
    """Return the definitions of the columns with a value of their own in each row."""
    own = [_column(column.name, column.type.postgres, is_nullable=column.nullable) for column in contract.columns]
    return [*own, *([_column(LINE_NUMBER, "bigint", is_nullable=True)] if contract.line_numbers else [])]


def column_comments(contract: Contract) -> dict[str, str]:
    """Return the meaning of each column of a staging table, in the order of the table."""
    comments = _shared_comments(contract)
    comments |= {column.name: column.description for column in contract.columns}
    if contract.line_numbers:
        comments[LINE_NUMBER] = (
            "Line of the object where the record begins, or number of the row in parquet; null in a row that was"
            " loaded before the table had this column."
        )
    return comments


def _column(name: str, type_: str, *, is_nullable: bool = False) -> sql.Composed:
    return sql.Identifier(name) + sql.SQL(f" {type_}" if is_nullable else f" {type_} NOT NULL")


def staging_ddl(contract: Contract) -> sql.Composed:
    """Return the idempotent DDL of a contract's staging table, with comments (the data dictionary) and indexes."""
    indexes = list(contract.indexes)
    lines = [*shared_columns_ddl(contract).values(), *columns_ddl(contract)]
    table = table_name(contract.table)
    ddl = [
        sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(contract.schema)),
        sql.SQL("CREATE TABLE IF NOT EXISTS {} ({})").format(table, sql.SQL(", ").join(lines)),
        sql.SQL("COMMENT ON TABLE {} IS {}").format(table, sql.Literal(contract.description)),
    ]
    if contract.partition:
        is_listed = contract.partition.span == "unit"
        ddl[1] += sql.SQL(f" PARTITION BY {'LIST' if is_listed else 'RANGE'} ({{}})").format(
            sql.Identifier(contract.partition.column)
        )
        if not is_listed:
            indexes.append((contract.partition.column,))
    ddl += [
        sql.SQL("CREATE INDEX IF NOT EXISTS {} ON {} ({})").format(
            sql.Identifier("_".join((contract.table.split(".")[1], *columns, "ix"))),
            table,
            sql.SQL(", ").join(map(sql.Identifier, columns)),
        )
        for columns in indexes
    ]
    ddl += _comment_statements(contract.table, column_comments(contract))
    return sql.SQL(";\n").join(ddl)


def _comment_statements(table: str, comments: Mapping[str, str]) -> list[sql.Composed]:
    statement = sql.SQL("COMMENT ON COLUMN {} IS {}")
    return [
        statement.format(sql.Identifier(*table.split("."), name), sql.Literal(comment))
        for name, comment in comments.items()
    ]


_LOAD_COMMENTS = {
    "loaded_at": "When the row was loaded.",
    "source_uri": "Object that held the row.",
    "source_version": "Version of the object.",
    "flow_run_id": "Flow run that loaded the row; null outside of a flow run.",
}


def ingested_ddl(contract: Contract) -> sql.Composed:
    """Return the DDL of the view that adds its object and its load to each row of a staging table, with comments."""
    comments = column_comments(contract)
    own = [sql.Identifier("staged", name) for name in comments]
    names = sql.SQL(",\n    ").join([*own, *(sql.Identifier("loads", name) for name in LOAD_COLUMNS)])
    view = table_name(contract.ingested)
    description = f"{contract.description} With the object and the load of each row."
    ddl = [
        sql.SQL(
            "CREATE OR REPLACE VIEW {} AS\nSELECT\n    {}\nFROM {} AS staged\n"
            "INNER JOIN ledger.loads ON staged.load_id = loads.load_id"
        ).format(view, names, table_name(contract.table)),
        sql.SQL("COMMENT ON VIEW {} IS {}").format(view, sql.Literal(description)),
        *_comment_statements(contract.ingested, comments | _LOAD_COMMENTS),
    ]
    return sql.SQL(";\n").join(ddl)
