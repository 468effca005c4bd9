"""Orders as CSV in the lake: of a day's file, or of a range of days in one file."""

from datetime import date

from tasks.connections import flow_run_id, open_lake, open_warehouse, run_settings
from tasks.contracts.orders import ORDERS
from tasks.engine.build.sql_files import sql_table
from tasks.engine.export.exporter import export_of_query, write_file
from tasks.engine.ledger import loads_between
from tasks.engine.receipts import ExportReceipt
from tasks.export import log_exports
from tasks.policy import step

GROUP = "orders-daily/"
"""What the ledger enters in place of an export id; no export id has a slash."""


@step(task_run_name="export_orders_range {start} {end}")
def export_orders_range(start: date, end: date, *, allow_empty: bool = False) -> ExportReceipt:
    """Write the orders of the files of some days, as they were delivered, to one CSV below `ORDERS_OUTPUT_PREFIX`.

    It is called `{day}.csv` for one day, and `{start}_{end}.csv` for more; days without a file have no rows in it. The
    same files give the same bytes, and are no work where they stand.

    Args:
        start: First day.
        end: Last day, which is included.
        allow_empty: Let a file without rows replace one that has rows.

    Raises:
        EmptyExportError: A file without rows would replace one that has rows.
        ValueError: The last day is before the first.
    """
    if end < start:
        raise ValueError(f"expected a range of days, found {start} to {end}: name the first day first")
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
            prefix=run_settings().orders_output_prefix,
            group=GROUP,
            flow_run_id=flow_run_id(),
            allow_empty=allow_empty,
        )
    log_exports([receipt])
    return receipt
