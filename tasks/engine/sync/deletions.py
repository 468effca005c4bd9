"""Deletions: what is gone from the source is closed in its history, never erased, and opened again when it returns."""

import time
from collections.abc import Iterable
from datetime import datetime

from psycopg import sql

from tasks.contracts.histories import History
from tasks.engine.errors import errors_at
from tasks.engine.receipts import DeletionReceipt
from tasks.engine.warehouse.tables import Connection, table_name

_GONE = sql.SQL("NOT EXISTS (SELECT FROM pg_temp.source_keys AS k WHERE k.source_id = {})")


def close_deleted(
    connection: Connection, history: History, keys: Iterable[bytes], checked_at: datetime
) -> DeletionReceipt:
    """Close the current version of every row that is gone from the source, and those that wait in the quarantine.

    The caller holds the pipeline's lock from before the keys are read, with no run unfinished: what arrives after the
    keys were read is not there to be closed.

    Args:
        connection: To the warehouse.
        history: Whose versions.
        keys: CSV with a header, in blocks of any size: the source's ids, all of them.
        checked_at: When the source had these keys.

    Raises:
        WarehouseError: The keys are none, or the stream of them broke; nothing is closed.
    """
    started = time.monotonic()
    with errors_at(f"keys of {history.source_table} against {history.table}"), connection.transaction():
        connection.execute("CREATE TEMP TABLE source_keys (source_id bigint PRIMARY KEY) ON COMMIT DROP")
        with connection.cursor() as cursor:
            with cursor.copy("COPY pg_temp.source_keys FROM STDIN (FORMAT csv, HEADER)") as copy:
                for block in keys:
                    copy.write(block)
            key_count = cursor.rowcount
        connection.execute("ANALYZE pg_temp.source_keys")
        closed = connection.execute(
            sql.SQL("UPDATE {} AS h SET deleted_at = %s FROM {} AS c WHERE h.{row_id} = c.{row_id} AND {gone}").format(
                table_name(history.table),
                table_name(history.current),
                row_id=sql.Identifier(history.row_id),
                gone=_GONE.format(sql.Identifier("c", history.source_id)),
            ),
            [checked_at],
        )
        waiting = connection.execute(
            sql.SQL(
                "UPDATE {} AS q SET deleted_at = %s"
                " WHERE source_table = %s AND is_waiting AND deleted_at IS NULL AND {}"
            ).format(table_name(history.quarantine), _GONE.format(sql.Identifier("q", "source_id"))),
            [checked_at, history.source_table],
        )
    return DeletionReceipt(
        history.table, checked_at, key_count, closed.rowcount, waiting.rowcount, time.monotonic() - started
    )


def reopen_returned(connection: Connection, history: History, load_id: int) -> int:
    """Open the closed versions that a load brought again: their rows are back in the source.

    For the loads of the run that is under way, after the build: what it brought was read after the last comparison of
    keys. A row that returned as a newer version needs nothing, that one stands open.

    Returns:
        How many were opened.
    """
    with errors_at(f"return of rows to {history.table}"):
        opened = connection.execute(
            sql.SQL(
                "UPDATE {} AS h SET deleted_at = NULL FROM {} AS s WHERE s.load_id = %s AND s.{id} = h.{id}"
                " AND s.last_updated::date = h.last_updated_date AND s.last_updated::time(3) = h.last_updated_time"
                " AND h.deleted_at IS NOT NULL"
            ).format(
                table_name(history.table), table_name(history.contract.table), id=sql.Identifier(history.source_id)
            ),
            [load_id],
        )
    return opened.rowcount
