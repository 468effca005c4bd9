"""Flow `commerce-analytics`: a shop's orders, reviews and shipments to three tables, exported and reported."""

from prefect import flow

from tasks.check import check_loads
from tasks.commerce.calendars import calendar_of
from tasks.connections import run_settings
from tasks.contracts.commerce import COMMERCE
from tasks.contracts.keys import partition_value
from tasks.engine.build.build_inputs import Build
from tasks.engine.receipts import LoadReceipt
from tasks.export import export_tables
from tasks.extract import list_datasets
from tasks.load import load_object
from tasks.parameters import AllowEmpty, AsOf, ExportId, Force, named_by_day, scheduled_day
from tasks.report import Chart, report_figures
from tasks.transform import build_schemas, build_tables

CHARTS = {
    "agg_public_holiday": Chart("Orders on public holidays of the past year, by month", r"tt_order_hol_(\w+)"),
    "best_performing_product": Chart("Reviews of the best product by stars, per cent", r"pct_(\w+)_star_review"),
}

REFERENCE = Build("if_common", COMMERCE, lambda _: calendar_of(run_settings().commerce_country))
ANALYTICS = Build("commerce_analytics", COMMERCE, lambda as_of: {"ingestion_date": partition_value(as_of)})


@flow(name="commerce-analytics", flow_run_name=named_by_day("commerce-analytics"))
def commerce_analytics(
    as_of: AsOf | None = None,
    export_id: ExportId | None = None,
    allow_empty: AllowEmpty = False,
    force: Force = False,
) -> list[LoadReceipt]:
    """Load the shop's files, build the three tables as of a day, check them, export them and publish the report.

    The same files and the same day give the same exports, whenever that is. Files that stand as they are are no work.

    Args:
        as_of: The day that the answers are as of; by default the day of the scheduled start.
        export_id: Where the exports go, below `EXPORT_PREFIX`; by default `EXPORT_ID`.
        allow_empty: Let an export without rows replace one that has rows.
        force: Load and build again even if nothing changed, and replace rows by fewer or none.
            Reference tables with rows of others stay as they are.
    """
    as_of = as_of or scheduled_day()

    build_schemas(COMMERCE, ["if_common", "commerce_analytics"])
    found = list_datasets(COMMERCE)
    loads = [load_object(contract, source, force=force) for contract, source in found]
    for (contract, _), load in zip(found, loads, strict=True):
        check_loads(contract, [load])
    build_tables(REFERENCE, force=force)
    build_tables(ANALYTICS, f"{as_of}", force=force)
    exports = export_tables("commerce_analytics", as_of=as_of, export_id=export_id, allow_empty=allow_empty)
    title = f"Shop as of {as_of}"
    report_figures(
        "commerce_analytics", "commerce-analytics", title, as_of, CHARTS, loads, exports, export_id=export_id
    )
    return loads
