"""Flow `events-insights`: which countries, users, companies and dates have the most events in the warehouse."""

from tasks.contracts.events import EVENTS
from tasks.engine.receipts import TopValues
from tasks.export import export_tables
from tasks.flow_runs import flow
from tasks.parameters import AllowEmpty, Since, Top, Until, month_range, named_by_months
from tasks.report import report_answers
from tasks.run_summary import Ended, counted, with_summary
from tasks.transform import Parameters, build_schemas


@flow(name="events-insights", flow_run_name=named_by_months("events-insights"))
@with_summary
def events_insights(
    since: Since = None, until: Until = None, top: Top = 10, allow_empty: AllowEmpty = False
) -> Ended[dict[str, TopValues]]:
    """Find the most frequent countries, users, companies and dates of a month, a range of months, or all loaded months.

    Args:
        since: First month, included, such as 2021-01. Empty: the first loaded month.
        until: Last month, included, such as 2021-12. Empty: the last loaded month.
        top: Number of countries, users, companies and dates to list, such as 10.
        allow_empty: Allow an answer without rows to replace an export with rows.
    """
    first, end = month_range(since, until)
    build_schemas([EVENTS], ["events_marts"])
    answers: Parameters = {"since": first, "until": end, "top": top}
    exports = export_tables("events_insights", answers, allow_empty=allow_empty)
    title = f"Events from {since or 'the first month'} to {until or 'the last month'}"
    found = report_answers("events_insights", "events-insights", title, answers, exports=exports, counted="events")
    return Ended(found, f"{title}: {counted(len(found), 'question')} answered, {len(exports)} exported")
