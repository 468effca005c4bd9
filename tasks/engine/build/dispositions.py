"""Write dispositions: write the rows of a table's query as its header says, in the caller's transaction."""

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import sql

from tasks.engine.build.assignments import written_columns
from tasks.engine.build.composition import equal, names, temporary_name
from tasks.engine.build.foreign_keys import keys_checked_together
from tasks.engine.build.histories import history_errors, write_history
from tasks.engine.build.parallel_results import select_in_parallel
from tasks.engine.build.snapshots import Snapshot
from tasks.engine.build.sql_files import SqlTable
from tasks.engine.errors import SqlFileError, errors_at
from tasks.engine.warehouse.described_types import described_columns
from tasks.engine.warehouse.plans import plan_of
from tasks.engine.warehouse.tables import Connection, table_name

Parameters = Mapping[str, Any]


def write_affected_keys(connection: Connection, table: SqlTable, parameters: Parameters) -> None:
    """Select the keys that a merge recomputes into the temporary table `affected_<table>`; ignore other dispositions.

    The call comes before any write to the schema, so the selection sees the earlier rows. The query and the checks may
    join the temporary table, which ends with the transaction.

    Raises:
        SqlFileError: `affected_keys.sql` selects columns that the header does not name, or columns of another type.
    """
    if table.disposition.kind != "merge":
        return
    columns, selected = table.disposition.columns, table.select("affected_keys.sql")
    with errors_at(table.address("affected_keys.sql")):
        found = [name for name, _ in described_columns(connection, selected, parameters)]
        if sorted(found) != sorted(columns):
            raise SqlFileError(
                f"{table.address('affected_keys.sql')}: expected the columns {', '.join(columns)}, as the write"
                f" disposition names them, found {', '.join(found)}"
            )
        written_columns(connection, table, selected, parameters, "affected_keys.sql")
        distinct = sql.SQL("SELECT DISTINCT {} FROM (\n{}\n) AS q").format(names(columns), selected)
        affected = _select(connection, table, "affected", distinct, columns, parameters)
        for column in columns:
            connection.execute(sql.SQL("ALTER TABLE {} ALTER {} SET NOT NULL").format(affected, sql.Identifier(column)))


def empty_affected_keys(connection: Connection, table: SqlTable) -> None:
    """Create the temporary table that the query of a merge joins, without rows; ignore other dispositions."""
    if table.disposition.kind == "merge":
        _temporary(connection, table, "affected", table.disposition.columns)


def write_query(
    connection: Connection, table: SqlTable, parameters: Parameters, snapshot: Snapshot | None = None
) -> int:
    """Write the rows of a table's query as its header says.

    Args:
        connection: In the transaction of the build.
        table: The table.
        parameters: Values of the query's parameters.
        snapshot: The time that a history's build writes; None before the first delivery, when it writes nothing.

    Returns:
        Number of rows in the replaced table or partition, or number of rows that a merge or a history inserted, changed
        and removed, or number of rows that an append or upsert inserted and changed.

    Raises:
        SqlFileError: A column of the query has a type that the table's column could change without an error. A key of
            the query's rows is null or occurs twice. A row of a merge has a key that the merge does not recompute.
            A history lacks its columns or its unique key.
        ShrinkError: A snapshot without rows would end all rows of a history.
    """
    with errors_at(table.address("query.sql")):
        columns = written_columns(connection, table, table.query, parameters)
        if table.disposition.kind == "replace":
            return _replace(connection, table, columns, parameters)
        if table.disposition.kind == "history" and (errors := list(history_errors(connection, table, columns))):
            raise SqlFileError(f"{table.address('query.sql')}: {'; '.join(errors)}")
        result = _select(connection, table, "result", table.query, columns, parameters)
        _refuse_keys(connection, table, result)
        if table.disposition.kind == "merge":
            _refuse_unaffected(connection, table, result)
        with keys_checked_together(connection, table, lambda: _count(connection, result)):
            return _write_result(connection, table, columns, result, snapshot)


def _write_result(
    connection: Connection, table: SqlTable, columns: Sequence[str], result: sql.Identifier, snapshot: Snapshot | None
) -> int:
    """Write the rows of a temporary table as the disposition says; returns the number of rows that it wrote."""
    if table.disposition.kind == "history":
        return write_history(connection, table, columns, result, snapshot) if snapshot else 0
    if table.disposition.kind == "append":
        return _insert(connection, table, columns, result, changes=())
    if table.disposition.kind == "upsert":
        changes = [column for column in columns if column not in (*table.key, *table.disposition.columns)]
        return _insert(connection, table, columns, result, changes)
    removed = _remove(connection, table, result)
    changes = [column for column in columns if column not in table.key]
    return removed + _insert(connection, table, columns, result, changes)


def _count(connection: Connection, result: sql.Identifier) -> int:
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(result)).fetchone()
    return int(row[0]) if row else 0


def read_query(connection: Connection, table: SqlTable, parameters: Parameters) -> list[tuple[Any, ...]]:
    """Rows of a query without a table."""
    with errors_at(table.address("query.sql")):
        return connection.execute(table.query, parameters).fetchall()


def _replace(connection: Connection, table: SqlTable, columns: Sequence[str], parameters: Parameters) -> int:
    delete = sql.SQL("DELETE FROM {}").format(table_name(table.name))
    if column := table.replaced_column:
        delete += sql.SQL(" WHERE {} = {}").format(sql.Identifier(column), sql.Placeholder(column))
    connection.execute(delete, parameters)
    with keys_checked_together(connection, table, lambda: plan_of(connection, table.query, parameters).row_count):
        insert = _insertion(connection, table, columns, parameters)
        if column is None:
            return connection.execute(insert, parameters).rowcount
        return _insert_partition(connection, table, insert, column, parameters)


def _insert_partition(
    connection: Connection, table: SqlTable, insert: sql.Composed, column: str, parameters: Parameters
) -> int:
    """Insert the rows of a partition, and refuse rows of another one.

    They would remain for ever, and each build would add them again.
    """
    counted = sql.SQL(
        "WITH written AS ({} RETURNING {column}) SELECT count(*),"
        " count(*) FILTER (WHERE {column} IS DISTINCT FROM {}) FROM written"
    ).format(insert, sql.Placeholder(column), column=sql.Identifier(column))
    row_count, foreign = connection.execute(counted, parameters).fetchone() or (0, 0)
    if foreign:
        raise SqlFileError(
            f"{table.address('query.sql')}: `replace partition ({column})` expects rows whose {column} is"
            f" {parameters[column]}, found {foreign:,} other rows; add a condition on {column} to the query"
        )
    return int(row_count)


def _insertion(connection: Connection, table: SqlTable, columns: Sequence[str], parameters: Parameters) -> sql.Composed:
    """Return the statement that inserts the query's rows; it reads a temporary table if workers filled one."""
    result = temporary_name(table, "result")
    rows: sql.Composable = table.query
    if select_in_parallel(connection, table, result, rows, columns, parameters):
        rows = sql.SQL("SELECT {} FROM {}").format(names(columns), result)
    return sql.SQL("INSERT INTO {} ({})\n{}").format(table_name(table.name), names(columns), rows)


def _select(
    connection: Connection,
    table: SqlTable,
    kind: str,
    query: sql.Composable,
    columns: Sequence[str],
    parameters: Parameters,
) -> sql.Identifier:
    """Select the rows of a query into a temporary table with columns of a table, and analyse its keys.

    Later statements join the keys only. The other columns, such as jsonb, would take a fifth of a build's CPU.
    """
    name = temporary_name(table, kind)
    if not select_in_parallel(connection, table, name, query, columns, parameters):
        _temporary(connection, table, kind, columns)
        insert = sql.SQL("INSERT INTO {} ({})\n{}").format(name, names(columns), query)
        connection.execute(insert, parameters)
    is_merge = table.disposition.kind == "merge"
    joined = {*table.key, *table.disposition.columns} if is_merge else set(table.key)
    keys = [column for column in columns if column in joined] or columns
    connection.execute(sql.SQL("ANALYZE {} ({})").format(name, names(keys)))
    return name


def _remove(connection: Connection, table: SqlTable, result: sql.Identifier) -> int:
    """Remove the rows of affected keys that the query does not return any more."""
    statement = sql.SQL(
        "DELETE FROM {} AS t USING {} AS d WHERE {} AND NOT EXISTS (SELECT FROM {} AS r WHERE {})"
    ).format(
        table_name(table.name),
        temporary_name(table, "affected"),
        equal("t", "d", table.disposition.columns),
        result,
        equal("r", "t", table.key),
    )
    return connection.execute(statement).rowcount


def _insert(
    connection: Connection, table: SqlTable, columns: Sequence[str], result: sql.Identifier, changes: Sequence[str]
) -> int:
    """Insert rows with a new key; in existing rows, change the columns that follow the query."""
    action: sql.Composable = sql.SQL("NOTHING")
    if changes:
        # *<> compares stored images, so an equal value in another form (1.0 and 1.00) is written, too.
        action = sql.SQL("UPDATE SET {} WHERE ROW({})::record *<> ROW({})::record").format(
            sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(sql.Identifier(column)) for column in changes),
            names(changes, "t"),
            names(changes, "excluded"),
        )
    statement = sql.SQL("INSERT INTO {} AS t ({names}) SELECT {names} FROM {} ON CONFLICT ({}) DO {}").format(
        table_name(table.name), result, names(table.key), action, names=names(columns)
    )
    return connection.execute(statement).rowcount


def _refuse_keys(connection: Connection, table: SqlTable, result: sql.Identifier) -> None:
    """Refuse a repeated key, which would lose a row, and a null in a key, which each build would insert again."""
    key = table.disposition.columns if table.disposition.kind == "history" else table.key
    query = sql.SQL("SELECT {key} FROM {} GROUP BY {key} HAVING count(*) > 1 OR num_nulls({key}) > 0 LIMIT 1").format(
        result, key=names(key)
    )
    if row := connection.execute(query).fetchone():
        raise SqlFileError(
            f"{table.address('query.sql')}: expected each ({', '.join(key)}) once and without nulls, found"
            f" {row}; the query must return one row for each key in its header"
        )


def _refuse_unaffected(connection: Connection, table: SqlTable, result: sql.Identifier) -> None:
    """Fail if the build would write a key that it does not recompute, in a row's new version or in its old one."""
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


def _temporary(connection: Connection, table: SqlTable, kind: str, columns: Sequence[str]) -> sql.Identifier:
    """Create an empty temporary table with some columns of a table."""
    name = temporary_name(table, kind)
    connection.execute(
        sql.SQL("DROP TABLE IF EXISTS pg_temp.{}").format(name)
    )  # from an earlier build in this transaction
    connection.execute(
        sql.SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA").format(
            name, names(columns), table_name(table.name)
        )
    )
    return name
