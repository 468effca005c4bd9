"""Exports: rows of the warehouse as CSV in the lake, verified against what S3 holds, listed in a manifest."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql
from psycopg.sql import Composable

from tasks.engine import ledger
from tasks.engine.copy import CopyOut
from tasks.engine.errors import BalanceError, MissingObjectError, errors_at
from tasks.engine.lake import Lake
from tasks.engine.receipts import ExportReceipt
from tasks.engine.sql_files import SqlTable
from tasks.engine.warehouse import Connection, session_lock, table_name


@dataclass(frozen=True)
class Export:
    """One file to write.

    Attributes:
        name: File name without its ending.
        query: Whose rows, in an order that their values decide.
        parameters: Values of the query's parameters.
        fingerprint: Names the content; the same one again is no work. None for content that has no name.
    """

    name: str
    query: Composable
    parameters: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str | None = None


def export_of_table(connection: Connection, table: SqlTable) -> Export:
    """The export of a whole built table, ordered by its key, text by code point."""
    collatable = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND attcollation <> 0",
        [table.name],
    )
    texts = {name for (name,) in collatable}
    order = [sql.Identifier(name) + sql.SQL(' COLLATE "C"' if name in texts else "") for name in table.key]
    query = sql.SQL("SELECT * FROM {} ORDER BY {}").format(table_name(table.name), sql.SQL(", ").join(order))
    builds = connection.execute(
        "SELECT partition, fingerprint FROM ledger.builds WHERE table_name = %s ORDER BY partition", [table.name]
    )
    digest = hashlib.sha256("\0".join(f"{partition} {built}" for partition, built in builds).encode())
    return Export(table.name.split(".")[1], query, fingerprint=digest.hexdigest())


def export_of_query(table: SqlTable, parameters: Mapping[str, Any]) -> Export:
    """The export of a query's own answer, for SQL that fills no table."""
    return Export(table.name.split(".")[1], table.query, parameters)


def write_exports(
    connection: Connection,
    lake: Lake,
    exports: Sequence[Export],
    *,
    prefix: str,
    export_id: str,
    flow_run_id: str | None = None,
) -> list[ExportReceipt]:
    """Write files under `{prefix}{export_id}/`, then the manifest of all that stands there.

    One writer per export id; all files of a call show the same state of the warehouse.

    Raises:
        BalanceError: What S3 holds is not what was sent.
    """
    with errors_at(f"export {export_id}"), session_lock(connection, f"export {export_id}"):
        lake.abort_uploads(f"{prefix}{export_id}/")
        receipts = []
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            for export in exports:
                key = f"{prefix}{export_id}/{export.name}.csv"
                receipt = _current(connection, lake, export, export_id, key)
                if receipt is None:
                    receipt = _write(connection, lake, export, key)
                    ledger.write_export(connection, export_id, receipt, export.fingerprint or "", flow_run_id)
                receipts.append(receipt)
        _write_manifest(connection, lake, prefix, export_id)
    return receipts


def _current(connection: Connection, lake: Lake, export: Export, export_id: str, key: str) -> ExportReceipt | None:
    """The earlier export, where it was made from the same content and S3 still holds it."""
    entry = ledger.find_export(connection, export_id, export.name)
    if entry is None or entry[0] != export.fingerprint or entry[1].uri != lake.uri(key):
        return None
    try:
        return entry[1] if lake.head(key).version == entry[1].source_version else None
    except MissingObjectError:
        return None


def _write(connection: Connection, lake: Lake, export: Export, key: str) -> ExportReceipt:
    out = CopyOut(connection, export.query, export.parameters)
    digest, size = hashlib.sha256(), 0

    def measured() -> Iterator[bytes]:
        nonlocal size
        for block in out:
            digest.update(block)
            size += len(block)
            yield block

    stored = lake.write(key, measured(), "text/csv; charset=utf-8")
    if stored.size_bytes != size or lake.sha256(stored) != digest.hexdigest():
        raise BalanceError(
            f"{lake.uri(key)}: sent {size:,} bytes with SHA-256 {digest.hexdigest()}, S3 holds others"
            f" ({stored.size_bytes:,} bytes). Somebody else writes there; run again"
        )
    return ExportReceipt(
        export.name, lake.uri(key), "exported", stored.version, out.row_count, size, digest.hexdigest()
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
        for entry in ledger.latest_exports(connection, export_id)
    ]
    text = json.dumps({"export_id": export_id, "files": files}, indent=2) + "\n"
    lake.write(f"{prefix}{export_id}/manifest.json", iter([text.encode()]), "application/json")
