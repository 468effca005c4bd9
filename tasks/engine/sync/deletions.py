"""Deletions: close the versions of rows that the source deleted, and reopen them if the rows return."""

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
    """Close the current version of every row that the source deleted, and its versions in the quarantine.

    The caller takes the pipeline's lock before it reads the keys, and has completed every run. So no row can arrive
    between the read of the keys and the close.

    Args:
        connection: To the warehouse.
        history: History of the versions.
        keys: All ids of the source as CSV with a header, in blocks of any size.
        checked_at: Time of the read of the keys.

    Raises:
        WarehouseError: A key is invalid, or the stream of keys broke; the call closed nothing.
    """
    started = time.monotonic()
    with errors_at(f"comparison of the keys of {history.source_table} with {history.table}"), connection.transaction():
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
    """Reopen the closed versions that a load delivered again: the source has their rows again.

    Call the function after the build, and only for loads of the current run: this run read the source later than the
    last comparison of keys. A row that returned as a newer version needs no change, because the newer version is open.

    Returns:
        Number of reopened versions.
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
