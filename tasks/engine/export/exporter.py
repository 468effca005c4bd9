"""Exports: write rows of the warehouse as CSV to the lake, verify the stored files, and list them in a manifest."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from psycopg import ClientCursor, sql
from psycopg.sql import Composable

from tasks.engine import ledger
from tasks.engine.build.sql_files import SqlTable
from tasks.engine.errors import BalanceError, EmptyExportError, MissingObjectError, errors_at
from tasks.engine.lake.client import Lake
from tasks.engine.receipts import ExportReceipt
from tasks.engine.warehouse.copy_out import CopyOut
from tasks.engine.warehouse.locks import snapshot_transaction
from tasks.engine.warehouse.tables import Connection, table_name


@dataclass(frozen=True)
class Export:
    """One file to write.

    Attributes:
        name: File name without its ending.
        content: The query of the rows, with an order that depends only on their values; or an HTML page.
        parameters: Values of the query's parameters.
        fingerprint: Digest of the content: an export with the same fingerprint is skipped. None: never skip.
        as_of: As-of date of the content; None without a date.
        table: Exported table or query; None for a page.
        load_ids: Loads whose rows the export holds, if it reads staging tables.
        unordered: A query of the same rows without an order. It shows faster whether there is any row.
    """

    name: str
    content: Composable | bytes
    parameters: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str | None = None
    as_of: date | None = None
    table: str | None = None
    load_ids: tuple[int, ...] | None = None
    unordered: Composable | None = None

    @property
    def file_name(self) -> str:
        """Name of the file below the export id."""
        return f"{self.name}.{'html' if isinstance(self.content, bytes) else 'csv'}"


@errors_at("export")
def export_of_table(connection: Connection, table: SqlTable, as_of: date | None = None) -> Export:
    """The export of a built table, ordered by its key, text by code point.

    Args:
        connection: To the warehouse.
        table: Table to export.
        as_of: As-of date to export, of a table with one partition for each as-of date; None for the whole table.
    """
    collatable = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND attcollation <> 0",
        [table.name],
    )
    texts = {name for (name,) in collatable}
    order = [sql.Identifier(name) + sql.SQL(' COLLATE "C"' if name in texts else "") for name in table.key]
    rows = table_name(table.name) + sql.SQL("")
    if as_of and table.replaced_column:
        rows += sql.SQL(" WHERE {} = {}").format(sql.Identifier(table.replaced_column), sql.Literal(as_of))
    query = sql.SQL("SELECT * FROM {} ORDER BY {}").format(rows, sql.SQL(", ").join(order))
    builds = connection.execute(
        "SELECT partition, fingerprint FROM ledger.builds"
        " WHERE table_name = %s AND (%s::date IS NULL OR partition IN (%s, '')) ORDER BY partition",
        [table.name, as_of, str(as_of)],
    )
    digest = hashlib.sha256("\0".join(f"{partition} {built}" for partition, built in builds).encode())
    return Export(
        table.name.split(".")[1],
        query,
        fingerprint=digest.hexdigest(),
        as_of=as_of,
        table=table.name,
        unordered=sql.SQL("SELECT FROM {}").format(rows),
    )


def export_of_page(name: str, page: str, as_of: date) -> Export:
    """The export of an HTML page; an identical page is skipped."""
    content = page.encode()
    return Export(name, content, fingerprint=hashlib.sha256(content).hexdigest(), as_of=as_of)


def export_of_query(
    table: SqlTable, parameters: Mapping[str, Any], *, name: str | None = None, loads: Sequence[int] | None = None
) -> Export:
    """The export of a query without a table.

    Args:
        table: Folder of the query.
        parameters: Values of the query's parameters.
        name: Name of the file; by default the name of the folder.
        loads: Ids of the loads that the answer depends on, if it depends on nothing else: an export of the same loads
            is skipped.
    """
    fingerprint = None
    if loads is not None:
        parts = [table.text("query.sql"), json.dumps(parameters, default=str, sort_keys=True), *map(str, loads)]
        fingerprint = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    read = None if loads is None else tuple(loads)
    return Export(
        name or table.name.split(".")[1], table.query, parameters, fingerprint, table=table.name, load_ids=read
    )


def write_exports(
    connection: Connection,
    lake: Lake,
    exports: Sequence[Export],
    *,
    prefix: str,
    export_id: str,
    flow_run_id: str | None = None,
    allow_empty: bool = False,
) -> list[ExportReceipt]:
    """Write files under `{prefix}{export_id}/`, then the manifest of all files there.

    Only one caller writes to an export id at a time. All files of a call show the same state of the warehouse.

    Args:
        connection: To the warehouse.
        lake: Destination of the files.
        exports: Files to write.
        prefix: Prefix of the keys.
        export_id: Folder below the prefix.
        flow_run_id: Id of the flow run, for the ledger.
        allow_empty: Allow an export without rows to replace an export with rows.

    Raises:
        BalanceError: The stored file differs from the sent file.
        EmptyExportError: An export without rows would replace an export with rows; the call wrote nothing.
    """
    with errors_at(f"export {export_id}"), snapshot_transaction(connection, f"export {export_id}"):
        lake.abort_uploads(f"{prefix}{export_id}/")
        keys = [f"{prefix}{export_id}/{export.file_name}" for export in exports]
        current = [_current(connection, lake, one, export_id, key) for one, key in zip(exports, keys, strict=True)]
        if not allow_empty:
            due = [export for export, receipt in zip(exports, current, strict=True) if receipt is None]
            _refuse_empty(connection, due, export_id)
        receipts = [
            receipt or _written(connection, lake, export, export_id, key, flow_run_id)
            for export, key, receipt in zip(exports, keys, current, strict=True)
        ]
        _write_manifest(connection, lake, prefix, export_id)
    return receipts


def write_file(
    connection: Connection,
    lake: Lake,
    export: Export,
    *,
    prefix: str,
    group: str,
    flow_run_id: str | None = None,
    allow_empty: bool = False,
) -> ExportReceipt:
    """Write a single file to `{prefix}{name}.csv`, without a manifest; other files may be written at the same time.

    Args:
        connection: To the warehouse.
        lake: Destination of the file.
        export: File to write.
        prefix: Prefix of the key.
        group: Name in the ledger in place of an export id.
        flow_run_id: Id of the flow run, for the ledger.
        allow_empty: Allow an export without rows to replace an export with rows.

    Raises:
        BalanceError: The stored file differs from the sent file.
        EmptyExportError: An export without rows would replace an export with rows; the call wrote nothing.
    """
    key = f"{prefix}{export.file_name}"
    with errors_at(f"export {key}"), snapshot_transaction(connection, f"export {lake.uri(key)}"):
        lake.abort_uploads(key)
        if receipt := _current(connection, lake, export, group, key):
            return receipt
        if not allow_empty:
            _refuse_empty(connection, [export], group)
        return _written(connection, lake, export, group, key, flow_run_id)


def _written(
    connection: Connection, lake: Lake, export: Export, export_id: str, key: str, flow_run_id: str | None
) -> ExportReceipt:
    """Write a file, and record it in the ledger."""
    receipt = _write(connection, lake, export, key)
    ledger.write_export(
        connection,
        export_id,
        receipt,
        export.fingerprint or "",
        flow_run_id,
        table=export.table,
        load_ids=export.load_ids and list(export.load_ids),
    )
    return receipt


def _refuse_empty(connection: Connection, exports: Sequence[Export], export_id: str) -> None:
    """Refuse to replace an export with rows by an export without rows, before any write.

    An empty answer usually means a wrong range or a missing load. A first export may be empty.

    Raises:
        EmptyExportError: An export would be empty; the message names all such exports.
    """
    emptied = []
    for export in exports:
        earlier = ledger.find_export(connection, export_id, export.name)
        if earlier and earlier[1].row_count and _is_empty(connection, export):
            emptied.append(f"{earlier[1].uri} holds {earlier[1].row_count:,} rows, the new export holds 0")
    if emptied:
        raise EmptyExportError(
            f"{'; '.join(emptied)}. Nothing was written. Check the range, and that its data is loaded. If the export"
            " must be empty, run again with allow_empty, or with force if the flow has no allow_empty"
        )


def _is_empty(connection: Connection, export: Export) -> bool:
    if isinstance(export.content, bytes):
        return False
    # With LIMIT in place of EXISTS, Postgres does not sort all rows.
    query = sql.SQL("SELECT FROM (\n{}\n) AS content LIMIT 1").format(export.unordered or export.content)
    with ClientCursor(connection) as cursor:  # the later COPY uses the same kind of cursor
        return cursor.execute(query, dict(export.parameters) or None).fetchone() is None


def _current(connection: Connection, lake: Lake, export: Export, export_id: str, key: str) -> ExportReceipt | None:
    """The earlier export, if it has the same content and S3 still holds it."""
    entry = ledger.find_export(connection, export_id, export.name)
    if entry is None or entry[0] != export.fingerprint or entry[1].uri != lake.uri(key):
        return None
    try:
        return entry[1] if lake.head(key).version == entry[1].source_version else None
    except MissingObjectError:
        return None


def _write(connection: Connection, lake: Lake, export: Export, key: str) -> ExportReceipt:
    content = export.content
    rows = None if isinstance(content, bytes) else CopyOut(connection, content, export.parameters)
    blocks: Iterable[bytes] = [content] if isinstance(content, bytes) else rows or []
    digest, size = hashlib.sha256(), 0

    def measured() -> Iterator[bytes]:
        nonlocal size
        for block in blocks:
            digest.update(block)
            size += len(block)
            yield block

    stored = lake.write(key, measured(), f"text/{key.rpartition('.')[2]}; charset=utf-8")
    is_same = stored.size_bytes == size and (stored.is_verified or lake.sha256(stored) == digest.hexdigest())
    if not is_same:
        raise BalanceError(
            f"{lake.uri(key)}: sent {size:,} bytes with SHA-256 {digest.hexdigest()}, S3 holds other"
            f" content ({stored.size_bytes:,} bytes). Another writer changed the object; run again"
        )
    row_count = rows.row_count if rows else 0
    return ExportReceipt(
        export.name, lake.uri(key), "exported", stored.version, row_count, size, digest.hexdigest(), export.as_of
    )


def _write_manifest(connection: Connection, lake: Lake, prefix: str, export_id: str) -> None:
    """List the latest export of each name. The same exports give the same bytes."""
    files = [
        {
            "name": entry.name,
            "uri": entry.uri,
            "row_count": entry.row_count,
            "size_bytes": entry.size_bytes,
            "sha256": entry.sha256,
        }
        | ({"as_of": entry.as_of.isoformat()} if entry.as_of else {})
        for entry in ledger.latest_exports(connection, export_id)
    ]
    text = json.dumps({"export_id": export_id, "files": files}, indent=2) + "\n"
    lake.write(f"{prefix}{export_id}/manifest.json", iter([text.encode()]), "application/json")
