"""The explanation of a row: its builds, the lines that it derives from, and the exports that hold it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from tasks.contracts import LINE_NUMBER, LOAD_ID, Contract
from tasks.engine.build.build_inputs import file_digest
from tasks.engine.build.lineage import roots_of, tables_in_order
from tasks.engine.build.sql_files import ROOT, SqlTable, sql_table
from tasks.engine.errors import ParameterError, errors_at
from tasks.engine.explain.origins import Origins, origins_of
from tasks.engine.quoting import shown
from tasks.engine.schema.catalog import ColumnShape, columns_of
from tasks.engine.warehouse.tables import Connection, table_name

EXAMPLES = 3
MASK = "…"


@dataclass(frozen=True)
class BuildFacts:
    """A build that may have written the row.

    Attributes:
        partition: Partition of the build; empty for a table that is built as a whole.
        built_at: When the table was built.
        flow_run_id: Flow run of the build.
        files: SQL files of the table, each with the digest in the ledger, and whether it changed since the build.
        missing_loads: Loads of the explanation that the build did not read, because they are newer.
    """

    partition: str
    built_at: datetime
    flow_run_id: str | None
    files: tuple[tuple[str, str, bool], ...]
    missing_loads: tuple[int, ...]


@dataclass(frozen=True)
class ExportFacts:
    """An export that holds the row's table."""

    uri: str
    source_version: str
    row_count: int
    exported_at: datetime


@dataclass(frozen=True)
class Explanation:
    """Everything that is known about the origin of a row.

    Attributes:
        table: Table of the row.
        key: Given values by column. A sensitive value is masked.
        origins: The lines that the row derives from.
        builds: Builds that may have written the row.
        exports: Exports of the table.
    """

    table: str
    key: Mapping[str, str]
    origins: Origins
    builds: tuple[BuildFacts, ...]
    exports: tuple[ExportFacts, ...]


def explain_row(
    connection: Connection, name: str, key: Mapping[str, str], known: Iterable[Contract], root: Path = ROOT
) -> Explanation:
    """Explain one row of a staging table or of a built table.

    Args:
        connection: To the warehouse, outside a transaction.
        name: `schema.table`; for a staging table also its view `<table>_ingested`.
        key: Values by column, as text that Postgres reads as a value of the column.
        known: All contracts.
        root: Folder of the SQL.

    Raises:
        ParameterError: The table or a column does not exist, a value is not valid for its column, or not exactly one
            row has these values. The message names valid tables and columns, with examples.
        SqlFileError: The table cannot be explained.
    """
    contracts = {contract.table: contract for contract in known}
    name = next((contract.table for contract in contracts.values() if contract.ingested == name), name)
    with errors_at(f"explain {name}"), connection.transaction():
        _check_table(connection, name, contracts, root)
        sensitive = sensitive_columns(name, contracts, root)
        rows = _rows(connection, name, key)
        _check_one(connection, name, rows, key, sensitive, root)
        origins = origins_of(connection, name, rows, contracts, root)
        loads = [origin.load_id for origin in origins.shown]
        builds = _builds(connection, sql_table(name, root), rows, loads)
        exports = _exports(connection, name)
    masked = {column: MASK if column in sensitive else value for column, value in key.items()}
    return Explanation(name, masked, origins, tuple(builds), tuple(exports))


def sensitive_columns(name: str, contracts: Mapping[str, Contract], root: Path = ROOT) -> set[str]:
    """Return the names of the sensitive columns of the staging tables that a table derives from."""
    roots = roots_of(tables_in_order(root), contracts).get(name, {name})
    columns = [column for table in roots if table in contracts for column in contracts[table].columns]
    return {column.name for column in columns if column.sensitive}


def _check_table(connection: Connection, name: str, contracts: Mapping[str, Contract], root: Path) -> None:
    if name in contracts and columns_of(connection, name):
        return
    table = sql_table(name, root) if name.count(".") == 1 else None
    if table and table.is_built and columns_of(connection, name):
        return
    if table and table.reads and not table.is_built:
        raise ParameterError(
            f"expected a table with rows of its own, found {name}, which reads {', '.join(table.reads)}: explain a row"
            " of one of these"
        )
    built = [each.name for each in tables_in_order(root).values() if each.is_built]
    names = [each for each in sorted([*contracts, *built]) if columns_of(connection, each)]
    hint = f"Tables: {', '.join(names)}" if names else "No table exists yet: run a pipeline first"
    raise ParameterError(f"expected the name of an existing table, found {shown(name)}. {hint}")


def _rows(connection: Connection, name: str, key: Mapping[str, str]) -> sql.Composed:
    columns = columns_of(connection, name)
    if unknown := [column for column in key if column not in columns]:
        raise ParameterError(
            f"expected columns of {name} ({', '.join(columns)}), found {', '.join(map(shown, unknown))}"
        )
    conditions = [_condition(connection, name, columns, column, value) for column, value in key.items()]
    where = sql.SQL(" AND ").join(conditions) if conditions else sql.SQL("true")
    return sql.SQL("SELECT t.tableoid, t.ctid, t.* FROM {} AS t WHERE {}").format(table_name(name), where)


def _condition(
    connection: Connection, name: str, columns: Mapping[str, ColumnShape], column: str, value: str
) -> sql.Composed:
    type_ = columns[column].type
    literal = sql.SQL("{}::{}").format(sql.Literal(value), sql.SQL(type_))
    try:
        with connection.transaction():
            connection.execute(sql.SQL("SELECT {}").format(literal))
    except psycopg.DataError as error:
        raise ParameterError(
            f"column {column} of {name}: expected a value of type {type_}, found {shown(value)}"
        ) from error
    return sql.SQL("t.{} = {}").format(sql.Identifier(column), literal)


def _check_one(
    connection: Connection, name: str, rows: sql.Composed, key: Mapping[str, str], sensitive: set[str], root: Path
) -> None:
    row = connection.execute(sql.SQL("SELECT count(*) FROM ({}) AS r").format(rows)).fetchone()
    count = int(row[0]) if row else 0
    if count == 1:
        return
    columns = columns_of(connection, name)
    wanted = sql_table(name, root).key or [each for each in (LOAD_ID, LINE_NUMBER) if each in columns]
    found = f"{count:,} rows" if count else "no row"
    source = rows if count else sql.SQL("SELECT t.* FROM {} AS t").format(table_name(name))
    select = sql.SQL("SELECT {}::text[] FROM ({}) AS r LIMIT {}")
    values = sql.SQL("ARRAY[{}]").format(
        sql.SQL(", ").join(sql.SQL("r.{}::text").format(sql.Identifier(column)) for column in wanted)
    )
    given = " ".join(f"{column}={MASK if column in sensitive else shown(value)}" for column, value in key.items())
    examples = [
        " ".join(
            f"{column}={MASK if column in sensitive else value}" for column, value in zip(wanted, one, strict=True)
        )
        for (one,) in connection.execute(select.format(values, source, sql.Literal(EXAMPLES)))
    ]
    hint = f", for example {'; or '.join(examples)}" if examples else "; the table has no rows"
    raise ParameterError(
        f"expected one row of {name} with {given or 'a key'}, found {found}. Give the columns {', '.join(wanted)}{hint}"
    )


def _builds(connection: Connection, table: SqlTable, rows: sql.Composed, loads: Sequence[int]) -> Iterable[BuildFacts]:
    """Yield the builds that read one of the loads, or wrote the row's partition."""
    if not table.is_built:
        return
    column = table.replaced_column
    value = connection.execute(
        sql.SQL("SELECT {}::text FROM ({}) AS r").format(sql.Identifier(column) if column else sql.SQL("NULL"), rows)
    ).fetchone()
    partition = value[0] if value else None
    found = connection.execute(
        "SELECT partition, built_at, flow_run_id::text, coalesce(inputs, '{}'), load_ids FROM ledger.builds"
        " WHERE table_name = %s AND (partition = '' OR CASE WHEN %s::text IS NULL THEN load_ids && %s::bigint[]"
        " ELSE partition IN (%s, left(%s, 7)) END) ORDER BY built_at DESC LIMIT %s",
        [table.name, partition, list(loads), partition, partition, EXAMPLES],
    ).fetchall()
    for name, built_at, run, inputs, read in found:
        missing = [load for load in loads if table.disposition.kind == "replace" and load not in (read or loads)]
        yield BuildFacts(name, built_at, run, tuple(_files(table, inputs)), tuple(missing))


def _files(table: SqlTable, inputs: Mapping[str, Any]) -> Iterable[tuple[str, str, bool]]:
    for file in ("query.sql", "affected_keys.sql"):
        if table.text(file):
            digest = file_digest(table, file)
            recorded = str(inputs.get(f"sql {table.name}/{file}", digest))
            yield table.address(file), recorded, recorded != digest


def _exports(connection: Connection, name: str) -> Iterable[ExportFacts]:
    rows = connection.execute(
        "SELECT DISTINCT ON (export_id, name) uri, source_version, row_count, exported_at FROM ledger.exports"
        " WHERE table_name = %s ORDER BY export_id, name, entry_id DESC",
        [name],
    )
    return [ExportFacts(*row) for row in rows]
