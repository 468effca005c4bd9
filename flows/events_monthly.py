"""Flow `events-monthly`: loads one month of user events, builds the marts, exports them and reports."""

from datetime import date

from tasks.backfill import report_finished
from tasks.contracts.events import EVENTS
from tasks.contracts.keys import partition_value
from tasks.engine.backfill.staleness import PipelineInputs
from tasks.engine.build.build_inputs import Build
from tasks.engine.receipts import LoadReceipt
from tasks.export import export_tables
from tasks.flow_runs import flow
from tasks.load import load_objects
from tasks.parameters import Force, Month, month_or_default, month_start, named_by_month, next_month
from tasks.partition_runs import Pipeline
from tasks.report import report_answers
from tasks.run_summary import Ended, ended_with, with_summary
from tasks.transform import Parameters, build_schemas, build_tables

MARTS = Build("events_marts", (EVENTS,), lambda month: {"month": partition_value(month)})
INPUTS = PipelineInputs(EVENTS, builds=(MARTS,))


@flow(name="events-monthly", flow_run_name=named_by_month("events-monthly"))
@with_summary
def events_monthly(month: Month = None, force: Force = False) -> Ended[list[LoadReceipt]]:
    """Load one month of events, rebuild its marts, check them, export them and publish the insights.

    The flow skips a month whose file is already loaded. A changed file replaces the month.

    Args:
        month: Month of the file, such as 2021-04. Empty: the month of the day before the scheduled start.
        force: Load and build again even if nothing changed, allow fewer rows, or none, to replace more rows,
            and allow an export without rows to replace an export with rows.
    """
    month = month_or_default(month)
    first, end = month_start(month, date.min), month_start(next_month(month), date.max)

    build_schemas([EVENTS], ["events_marts"])
    loads = load_objects(EVENTS, month, force=force)
    builds = build_tables(MARTS, month, force=force)
    exports = export_tables("events_marts", allow_empty=force)
    answers: Parameters = {"since": first, "until": end, "top": 10}
    report_answers("events_insights", "events-monthly", f"Events of {month}", answers, loads, exports, counted="events")
    report_finished(EVENTS, month, builds)
    return ended_with(loads, loads, builds, exports)


PIPELINE = Pipeline(INPUTS, events_monthly, "month")
