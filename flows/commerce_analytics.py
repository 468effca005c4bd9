"""Flow `commerce-analytics`: builds, exports and reports three tables of a shop's orders, reviews and shipments."""

from tasks.commerce.calendars import calendar_of
from tasks.connections import value_of
from tasks.contracts.commerce import COMMERCE, COUNTRY
from tasks.contracts.keys import partition_value
from tasks.engine.build.build_inputs import Build
from tasks.engine.receipts import LoadReceipt
from tasks.export import export_tables
from tasks.flow_runs import flow
from tasks.load import load_datasets
from tasks.parameters import AllowEmpty, AsOf, ExportId, Force, named_by_day, scheduled_day
from tasks.report import Chart, report_figures
from tasks.run_summary import Ended, ended_with, with_summary
from tasks.transform import build_schemas, build_tables

CHARTS = {
    "agg_public_holiday": Chart("Orders on public holidays of the past year, by month", r"tt_order_hol_(\w+)"),
    "best_performing_product": Chart("Reviews of the best product by stars, per cent", r"pct_(\w+)_star_review"),
}

REFERENCE = Build("if_common", COMMERCE, lambda _: calendar_of(value_of(COUNTRY)))
ANALYTICS = Build("commerce_analytics", COMMERCE, lambda as_of: {"ingestion_date": partition_value(as_of)})


@flow(name="commerce-analytics", flow_run_name=named_by_day("commerce-analytics"))
@with_summary
def commerce_analytics(
    as_of: AsOf = None,
    export_id: ExportId = None,
    allow_empty: AllowEmpty = False,
    force: Force = False,
) -> Ended[list[LoadReceipt]]:
    """Load the shop's files, build the three tables as of a day, check them, export them and publish the report.

    The same files and the same day always give the same exports. The flow skips files that are already loaded.

    Args:
        as_of: Day of the report, such as 2022-09-05. Empty: the day of the scheduled start.
        export_id: Folder of the exports below `EXPORT_PREFIX`, such as team-a. Empty: the value of `EXPORT_ID`.
        allow_empty: Allow an export without rows to replace an export with rows.
        force: Load and build again even if nothing changed, and allow fewer rows, or none, to replace more rows.
            Reference tables with rows written by another owner do not change.
    """
    as_of = as_of or scheduled_day()

    build_schemas(COMMERCE, ["if_common", "commerce_analytics"])
    loads = load_datasets(COMMERCE, force=force)
    builds = build_tables(REFERENCE, force=force) + build_tables(ANALYTICS, f"{as_of}", force=force)
    exports = export_tables("commerce_analytics", as_of=as_of, export_id=export_id, allow_empty=allow_empty)
    title = f"Shop as of {as_of}"
    page = report_figures(
        "commerce_analytics", "commerce-analytics", title, as_of, CHARTS, loads, exports, export_id=export_id
    )
    return ended_with(loads, loads, builds, exports + page)
