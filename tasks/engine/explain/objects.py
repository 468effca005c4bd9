"""Explanations of objects: the tables and exports that hold an object, or a line of an object."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from psycopg import sql

from tasks.contracts import LINE_NUMBER, LOAD_ID, Contract
from tasks.engine.errors import ParameterError, errors_at
from tasks.engine.explain.origins import SHOWN_LOADS, Rejection, rejections_of
from tasks.engine.quoting import shown
from tasks.engine.schema.catalog import columns_of
from tasks.engine.warehouse.tables import Connection, table_name

_LINE = re.compile(r"^(.+):(\d+)$", re.DOTALL)


@dataclass(frozen=True)
class LoadOfObject:
    """One load of an object.

    Attributes:
        load_id: The load.
        table: Its staging table.
        partition: Partition of the rows.
        status: Status of the load.
        source_version: Version of the object.
        loaded_at: When the object was loaded.
        flow_run_id: Flow run of the load.
        rows_loaded: Number of rows in the staging table.
        rows_rejected: Number of rejected rows.
        rows_at_line: Number of staging rows of the given line; None without a line, or if the table keeps no lines.
        unnumbered: Whether rows of the load have no line number, because the load is older than the column.
        rejected: The rejected rows of the load, or only those of the given line.
    """

    load_id: int
    table: str
    partition: str
    status: str
    source_version: str
    loaded_at: datetime
    flow_run_id: str | None
    rows_loaded: int
    rows_rejected: int
    rows_at_line: int | None = None
    unnumbered: bool = False
    rejected: tuple[Rejection, ...] = ()


@dataclass(frozen=True)
class Holder:
    """A table or an export that was made from the object."""

    table: str
    partition: str | None
    built_at: datetime | None
    export_uri: str | None


@dataclass(frozen=True)
class ObjectUse:
    """Where the rows of an object are.

    Attributes:
        uri: The object.
        line: The given line; None for the whole object.
        loads: Its loads, the latest first.
        holders: Tables and exports that were made from these loads.
        made_from: If the object is an export: the objects from which it was made, with their loads.
    """

    uri: str
    line: int | None
    loads: tuple[LoadOfObject, ...] = ()
    holders: tuple[Holder, ...] = ()
    made_from: tuple[tuple[str, int, str], ...] = ()


def explain_object(connection: Connection, target: str, known: Iterable[Contract]) -> ObjectUse:
    """Find the tables and exports that hold an object or a line of it.

    Args:
        connection: To the warehouse, outside a transaction.
        target: `s3://bucket/key`, or `s3://bucket/key:line`.
        known: All contracts.

    Raises:
        ParameterError: The ledger has neither a load nor an export of the object.
    """
    tables = {contract.dataset: contract.table for contract in known}
    with errors_at(f"explain {shown(target)}"), connection.transaction():
        for uri, line in _readings(target):
            if loads := _loads(connection, uri, line, tables):
                return ObjectUse(uri, line, tuple(loads), tuple(_holders(connection, [load.load_id for load in loads])))
            if made_from := _made_from(connection, uri):
                return ObjectUse(uri, None, made_from=tuple(made_from))
        near = connection.execute(
            "SELECT DISTINCT source_uri FROM ledger.loads WHERE source_uri LIKE %s ORDER BY 1 DESC LIMIT 3",
            [f"{target.rpartition('/')[0].replace('%', '')}%"],
        ).fetchall()
    names = ", ".join(str(uri) for (uri,) in near)
    raise ParameterError(
        f"expected an object that was loaded or exported, found {shown(target)}, which is in neither ledger.loads nor"
        f" ledger.exports. {f'Loaded objects: {names}' if near else 'Enter s3://bucket/key or s3://bucket/key:line'}"
    )


def _readings(target: str) -> Iterable[tuple[str, int | None]]:
    """Yield the object and the line that a text can mean. A key may end with a colon and digits, too."""
    yield target, None
    if match := _LINE.match(target):
        yield match[1], int(match[2])


def _loads(connection: Connection, uri: str, line: int | None, tables: dict[str, str]) -> list[LoadOfObject]:
    rows = connection.execute(
        "SELECT load_id, dataset, partition, status, source_version, loaded_at, flow_run_id::text, rows_loaded,"
        " rows_rejected FROM ledger.loads WHERE source_uri = %s ORDER BY load_id DESC LIMIT %s",
        [uri, SHOWN_LOADS],
    ).fetchall()
    found = []
    for row in rows:
        table = tables.get(row[1], "")
        held, unnumbered = _at_line(connection, table, row[0], line)
        load = LoadOfObject(row[0], table or row[1], *row[2:])
        rejected = rejections_of(connection, load.load_id, line)
        found.append(replace(load, rows_at_line=held, unnumbered=unnumbered, rejected=rejected))
    return found


def _at_line(connection: Connection, table: str, load_id: int, line: int | None) -> tuple[int | None, bool]:
    columns = columns_of(connection, table) if table else {}
    if line is None or not {LOAD_ID, LINE_NUMBER} <= columns.keys():
        return None, False
    row = connection.execute(
        sql.SQL(
            "SELECT count(*) FILTER (WHERE line_number = %s), bool_or(line_number IS NULL) FROM {} WHERE load_id = %s"
        ).format(table_name(table)),
        [line, load_id],
    ).fetchone()
    return (int(row[0]), bool(row[1])) if row else (0, False)


def _holders(connection: Connection, loads: list[int]) -> Iterable[Holder]:
    rows = connection.execute(
        "SELECT DISTINCT table_name, partition, built_at, export_uri FROM ledger.lineage WHERE load_id = ANY(%s)"
        " ORDER BY 1, 2, 4",
        [loads],
    )
    return [Holder(*row) for row in rows]


def _made_from(connection: Connection, uri: str) -> list[tuple[str, int, str]]:
    rows = connection.execute(
        "SELECT DISTINCT coalesce(source_uri, ''), coalesce(load_id, 0), table_name FROM ledger.lineage"
        " WHERE export_uri = %s ORDER BY 3, 2",
        [uri],
    )
    return [(str(source), int(load_id), str(table)) for source, load_id, table in rows]
