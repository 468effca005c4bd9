"""Write dispositions: write the rows of a table's query as its header says, in the caller's transaction."""

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import sql

from tasks.engine.build.assignments import refuse_unwritten, written_columns
from tasks.engine.build.composition import equal, names, temporary_name
from tasks.engine.build.first_rows import is_first_write, write_first_rows
from tasks.engine.build.foreign_keys import keys_checked_together
from tasks.engine.build.histories import history_errors, write_history
from tasks.engine.build.refusals import refuse_keys, refuse_unaffected
from tasks.engine.build.results import Parameters, create_temporary_table, prepare_insert, select_result
from tasks.engine.build.shared_queries import with_results
from tasks.engine.build.snapshots import Snapshot
from tasks.engine.build.sql_files import VALID_FROM, VALID_TO, SqlTable
from tasks.engine.errors import SqlFileError, errors_at
from tasks.engine.warehouse.described_types import described_columns
from tasks.engine.warehouse.plans import plan_of
from tasks.engine.warehouse.tables import Connection, table_name


def write_affected_keys(
    connection: Connection, table: SqlTable, parameters: Parameters, shared: Mapping[str, str] | None = None
) -> None:
    """Select the keys that a merge recomputes into the temporary table `affected_<table>`; ignore other dispositions.

    The call comes before any write to the schema, so the selection sees the earlier rows. The query and the checks may
    join the temporary table, which ends with the transaction.

    Args:
        connection: In the transaction of the build.
        table: The table.
        parameters: Values of the query's parameters.
        shared: Temporary tables with results of queries, by the text of the query, from `shared_results`.

    Raises:
        SqlFileError: `affected_keys.sql` selects columns that the header does not name, or columns of another type.
    """
    if table.disposition.kind != "merge":
        return
    columns = table.disposition.columns
    selected = sql.SQL(with_results(table.select("affected_keys.sql").as_string(), shared or {}))
    with errors_at(table.address("affected_keys.sql")):
        described = described_columns(connection, selected, parameters)
        found = [name for name, _ in described]
        if sorted(found) != sorted(columns):
            raise SqlFileError(
                f"{table.address('affected_keys.sql')}: expected the columns {', '.join(columns)}, as the write"
                f" disposition names them, found {', '.join(found)}"
            )
        written_columns(connection, table, selected, parameters, "affected_keys.sql", described)
        distinct = sql.SQL("SELECT DISTINCT {} FROM (\n{}\n) AS q").format(names(columns), selected)
        affected = select_result(connection, table, "affected", distinct, columns, parameters)
        required = sql.SQL(", ").join(sql.SQL("ALTER {} SET NOT NULL").format(sql.Identifier(each)) for each in columns)
        connection.execute(sql.SQL("ALTER TABLE {} {}").format(affected, required))


def empty_affected_keys(connection: Connection, table: SqlTable) -> None:
    """Create the temporary table that the query of a merge joins, without rows; ignore other dispositions."""
    if table.disposition.kind == "merge":
        create_temporary_table(connection, table, "affected", table.disposition.columns)


def write_query(
    connection: Connection, table: SqlTable, parameters: Parameters, snapshot: Snapshot | None = None
) -> int:
    """Write the rows of a table's query as its header says.

    Args:
        connection: In the transaction of the build.
        table: The table.
        parameters: Values of the query's parameters.
        snapshot: The time for which a history's build writes rows; None before the first delivery, when the build
            writes nothing.

    Returns:
        For `replace`, the number of rows in the table or partition. For a merge or a history, the number of rows that
        the build inserted, changed and removed. For an append or upsert, the number of rows that the build inserted and
        changed.

    Raises:
        SqlFileError: A column of the query has a type that the table's column could change without an error. A key of
            the query's rows is null or occurs twice. A row of a merge has a key that the merge does not recompute.
            A history lacks its columns or its unique key. The query returns no value for a column whose earlier
            values would stay.
        ShrinkError: A snapshot without rows would end all rows of a history.
    """
    with errors_at(table.address("query.sql")):
        columns = written_columns(connection, table, table.query, parameters)
        if table.disposition.kind == "replace":
            return _replace(connection, table, columns, parameters)
        if table.disposition.kind == "history" and (errors := list(history_errors(connection, table, columns))):
            raise SqlFileError(f"{table.address('query.sql')}: {'; '.join(errors)}")
        if table.disposition.kind != "append":  # an append changes no existing row
            refuse_unwritten(connection, table, [*columns, *_computed(table)])
        if table.disposition.kind != "history" and is_first_write(connection, table, parameters):
            return write_first_rows(connection, table, columns, parameters)
        result = select_result(connection, table, "result", table.query, columns, parameters)
        refuse_keys(connection, table, result)
        if table.disposition.kind == "merge":
            refuse_unaffected(connection, table, result)
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


def _computed(table: SqlTable) -> tuple[str, ...]:
    return (VALID_FROM, VALID_TO) if table.disposition.kind == "history" else ()


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
        insert = prepare_insert(connection, table, columns, parameters)
        if column is None:
            return connection.execute(insert, parameters).rowcount
        return _insert_partition(connection, table, insert, column, parameters)


def _insert_partition(
    connection: Connection, table: SqlTable, insert: sql.Composed, column: str, parameters: Parameters
) -> int:
    """Insert the rows of a partition, and refuse rows of another partition.

    Rows of another partition would remain for ever, and each build would add them again.
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
    """Insert the rows whose key is new. In rows whose key exists, update the columns named in `changes`."""
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
