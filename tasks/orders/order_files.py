"""Exports of orders to one CSV in the lake, for one day or for a range of days."""

from datetime import date

from tasks.connections import flow_run_id, open_lake, open_warehouse, value_of
from tasks.contracts.orders import ORDERS, OUTPUT_PREFIX
from tasks.engine.build.sql_files import sql_table
from tasks.engine.export.exporter import export_of_query, write_file
from tasks.engine.ledger import loads_between
from tasks.engine.receipts import ExportReceipt
from tasks.export import log_exports
from tasks.policy import step

GROUP = "orders-daily/"
"""Name in the ledger in place of an export id. No export id has a slash."""


@step(task_run_name="Export orders from {start} to {end}")
def export_orders_range(start: date, end: date, *, allow_empty: bool = False) -> ExportReceipt:
    """Write the delivered orders of some days to one CSV below `ORDERS_OUTPUT_PREFIX`.

    The file of one day is `{day}.csv`, the file of a range is `{start}_{end}.csv`. A day without a file adds no rows.
    The same files always give the same bytes; a CSV that is already up to date is skipped.

    Args:
        start: First day.
        end: Last day, included.
        allow_empty: Allow a CSV without rows to replace a CSV with rows.

    Raises:
        EmptyExportError: A CSV without rows would replace a CSV with rows.
        ValueError: The last day is earlier than the first.
    """
    if end < start:
        raise ValueError(f"expected a range of days, found {start} to {end}: enter the earlier day first")
    with open_warehouse() as connection, open_lake() as lake:
        receipt = write_file(
            connection,
            lake,
            export_of_query(
                sql_table("orders_export.orders"),
                {"first_day": start, "last_day": end},
                name=f"{start}" if start == end else f"{start}_{end}",
                loads=loads_between(connection, ORDERS.dataset, f"{start}", f"{end}"),
            ),
            prefix=value_of(OUTPUT_PREFIX),
            group=GROUP,
            flow_run_id=flow_run_id(),
            allow_empty=allow_empty,
        )
    log_exports([receipt])
    return receipt
