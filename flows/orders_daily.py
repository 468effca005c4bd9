"""Flow `orders-daily`: one day of a shop's orders from the lake to users, orders and order details, and to a CSV."""

from prefect import flow

from tasks.backfill import report_finished
from tasks.check import check_loads
from tasks.contracts.orders import ORDERS
from tasks.engine.receipts import LoadReceipt
from tasks.extract import list_objects
from tasks.load import load_object
from tasks.order_files import export_orders_range
from tasks.parameters import AllowEmpty, Day, day_or_default, named_by_file_day
from tasks.report import report_builds
from tasks.transform import build_schemas, build_tables


@flow(name="orders-daily", flow_run_name=named_by_file_day("orders-daily"))
def orders_daily(day: Day | None = None, allow_empty: AllowEmpty = False) -> list[LoadReceipt]:
    """Load one day's file of orders, bring the tables up to date with it, check them, and write the day's CSV.

    A day that stands as it is in the lake is no work; new content replaces the day, and what it touches is built again.

    Args:
        day: Day of the file; by default the day before that of the scheduled start.
        allow_empty: Let a CSV without rows replace one that has rows.
    """
    day = day_or_default(day)

    build_schemas([ORDERS], ["orders_core"])
    loads = [load_object(ORDERS, source) for source in list_objects(ORDERS, f"{day}")]
    check_loads(ORDERS, loads)
    builds = build_tables("orders_core", [ORDERS], f"{day}", {"day": day})
    export = export_orders_range(day, day, allow_empty=allow_empty)
    report_builds("orders-daily", f"Orders of {day}", loads, builds, [export])
    report_finished(ORDERS, f"{day}", builds)
    return loads
