"""Flow `events-insights`: which countries, users, companies and dates have the most events in the warehouse."""

from prefect import flow

from tasks.contracts.events import EVENTS
from tasks.engine.receipts import TopValues
from tasks.export import export_tables
from tasks.parameters import FIRST, LAST, Month, Top, month_start
from tasks.report import report_answers
from tasks.transform import Parameters, build_schemas


@flow(name="events-insights")
def events_insights(since: Month | None = None, until: Month | None = None, top: Top = 10) -> dict[str, TopValues]:
    """Answer the four questions for a month, a range of months, or all that was ever loaded.

    Args:
        since: First month; by default the first there is.
        until: The month after the last, which is not included; by default there is no end.
        top: How many values each question lists.
    """
    build_schemas([EVENTS], ["events_staging", "events_marts"])
    answers: Parameters = {"since": month_start(since, FIRST), "until": month_start(until, LAST), "top": top}
    exports = export_tables("events_insights", answers)
    title = (
        f"Events {f'since {since}' if since else 'since the first month'}{f' until before {until}' if until else ''}"
    )
    return report_answers("events_insights", "events-insights", title, answers, exports=exports)
