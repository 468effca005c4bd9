"""Flow `orders-daily`: one day of a shop's orders from the lake to users, orders and order details, and to a CSV."""

from prefect import flow

from tasks.backfill import report_finished
from tasks.check import check_loads
from tasks.contracts.keys import partition_value
from tasks.contracts.orders import ORDERS
from tasks.engine.backfill.staleness import PipelineInputs
from tasks.engine.build.build_inputs import Build
from tasks.engine.receipts import LoadReceipt
from tasks.extract import list_objects
from tasks.load import load_object
from tasks.orders.order_files import export_orders_range
from tasks.parameters import AllowEmpty, Day, Force, day_or_default, named_by_file_day
from tasks.report import report_builds
from tasks.transform import build_schemas, build_tables

CORE = Build("orders_core", (ORDERS,), lambda day: {"day": partition_value(day)})
INPUTS = PipelineInputs(ORDERS, builds=(CORE,))


@flow(name="orders-daily", flow_run_name=named_by_file_day("orders-daily"))
def orders_daily(day: Day | None = None, allow_empty: AllowEmpty = False, force: Force = False) -> list[LoadReceipt]:
    """Load one day's file of orders, bring the tables up to date with it, check them, and write the day's CSV.

    A day that is loaded as it is in the lake is no work; new content replaces the day, and the orders that it touches
    are built again.

    Args:
        day: Day of the file; by default the day before that of the scheduled start.
        allow_empty: Let a CSV without rows replace one that has rows.
        force: Load and build again even if nothing changed, replace rows by fewer or none,
            and let a CSV without rows replace one that has rows.
    """
    day = day_or_default(day)

    build_schemas([ORDERS], ["orders_core"])
    loads = [load_object(ORDERS, source, force=force) for source in list_objects(ORDERS, f"{day}")]
    check_loads(ORDERS, loads)
    builds = build_tables(CORE, f"{day}", force=force)
    export = export_orders_range(day, day, allow_empty=allow_empty or force)
    report_builds("orders-daily", f"Orders of {day}", loads, builds, [export])
    report_finished(ORDERS, f"{day}", builds)
    return loads
