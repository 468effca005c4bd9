"""Refusals: the rows of a query that a build must not write, because it would lose them or write them for ever."""

from psycopg import sql

from tasks.engine.build.composition import equal, names, temporary_name
from tasks.engine.build.sql_files import SqlTable
from tasks.engine.errors import SqlFileError
from tasks.engine.warehouse.tables import Connection, table_name


def refuse_keys(connection: Connection, table: SqlTable, result: sql.Identifier) -> None:
    """Refuse a repeated key, which would lose a row, and a null in a key, which each build would insert again.

    Raises:
        SqlFileError: The result has such a key.
    """
    key = table.disposition.columns if table.disposition.kind == "history" else table.key
    query = sql.SQL("SELECT {key} FROM {} GROUP BY {key} HAVING count(*) > 1 OR num_nulls({key}) > 0 LIMIT 1").format(
        result, key=names(key)
    )
    if row := connection.execute(query).fetchone():
        raise SqlFileError(
            f"{table.address('query.sql')}: expected each ({', '.join(key)}) once and without nulls, found"
            f" {row}; the query must return one row for each value of the key in its header"
        )


def refuse_unaffected(connection: Connection, table: SqlTable, result: sql.Identifier) -> None:
    """Refuse to write a key that a merge does not recompute, in a row's new version or in its old one.

    Args:
        connection: In the transaction of the build.
        table: The table of the merge.
        result: The rows to write, or the table itself if it holds these rows only.

    Raises:
        SqlFileError: A row has such a key.
    """
    by = table.disposition.columns
    unaffected = sql.SQL("NOT EXISTS (SELECT FROM {} AS d WHERE {})")
    affected = temporary_name(table, "affected")
    rows = {"the query gives": sql.SQL("{} AS o").format(result)}
    if not set(by) <= set(table.key):
        rows["it would change"] = sql.SQL("{} AS o INNER JOIN {} AS r ON {}").format(
            table_name(table.name), result, equal("o", "r", table.key)
        )
    for what, relation in rows.items():
        query = sql.SQL("SELECT count(*) OVER (), {} FROM {} WHERE {} LIMIT 1").format(
            names(by, "o"), relation, unaffected.format(affected, equal("d", "o", by))
        )
        if row := connection.execute(query).fetchone():
            raise SqlFileError(
                f"{table.address('query.sql')}: expected only rows with the keys that affected_keys.sql selects, but"
                f" {what} {row[0]:,} other rows, such as ({', '.join(by)}) = {row[1:]}; select these keys in"
                f" affected_keys.sql, or join {affected.as_string()} in query.sql"
            )
