"""Flow `orders-daily`: loads one day of orders into users, orders and order details, and writes the day's CSV."""

from tasks.backfill import report_finished
from tasks.contracts.keys import partition_value
from tasks.contracts.orders import ORDERS
from tasks.engine.backfill.staleness import PipelineInputs
from tasks.engine.build.build_inputs import Build
from tasks.engine.receipts import LoadReceipt
from tasks.flow_runs import flow
from tasks.load import load_objects
from tasks.orders.order_files import export_orders_range
from tasks.parameters import AllowEmpty, Day, Force, day_or_default, named_by_file_day
from tasks.partition_runs import Pipeline
from tasks.report import report_builds
from tasks.run_summary import Ended, ended_with, with_summary
from tasks.transform import build_schemas, build_tables

CORE = Build("orders_core", (ORDERS,), lambda day: {"day": partition_value(day)})
INPUTS = PipelineInputs(ORDERS, builds=(CORE,))


@flow(name="orders-daily", flow_run_name=named_by_file_day("orders-daily"))
@with_summary
def orders_daily(day: Day = None, allow_empty: AllowEmpty = False, force: Force = False) -> Ended[list[LoadReceipt]]:
    """Load one day's file of orders, update the tables, check them, and write the day's CSV.

    The flow skips a day whose file is already loaded. A changed file replaces the day, and the flow recomputes the
    orders that the change affects.

    Args:
        day: Day of the file, such as 2021-04-30. Empty: the day before the scheduled start.
        allow_empty: Allow a CSV without rows to replace a CSV with rows.
        force: Load and build again even if nothing changed, allow fewer rows, or none, to replace more rows,
            and allow a CSV without rows to replace a CSV with rows.
    """
    day = day_or_default(day)

    build_schemas([ORDERS], ["orders_core"])
    loads = load_objects(ORDERS, f"{day}", force=force)
    builds = build_tables(CORE, f"{day}", force=force)
    export = export_orders_range(day, day, allow_empty=allow_empty or force)
    report_builds("orders-daily", f"Orders of {day}", loads, builds, [export])
    report_finished(ORDERS, f"{day}", builds)
    return ended_with(loads, loads, builds, [export])


PIPELINE = Pipeline(INPUTS, orders_daily, "day", after=export_orders_range)
