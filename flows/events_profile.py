"""Flow `events-profile`: the four questions for one object or local file, streamed, without a warehouse."""

from typing import Annotated

from pydantic import Field

from tasks.contracts.events import EVENTS
from tasks.engine.receipts import TopValues
from tasks.events.profile import read_top_values
from tasks.events.questions import QUESTIONS
from tasks.flow_runs import flow
from tasks.parameters import Top, named_by_source
from tasks.report import report_profile
from tasks.run_summary import Ended, with_summary

Source = Annotated[
    str,
    Field(
        min_length=1,
        description="Address of the file to read, s3://bucket/key, or the path of a local file in PROFILE_FOLDER",
        examples=["s3://lake/2021/04/events.csv"],
    ),
]


@flow(name="events-profile", flow_run_name=named_by_source("events-profile"))
@with_summary
def events_profile(source: Source, top: Top = 10) -> Ended[dict[str, TopValues]]:
    """Find the most frequent countries, users, companies and dates of one file of events, without loading the file.

    Args:
        source: Address of the file, such as `s3://lake/2021/04/events.csv`. A deployment reads a local file only
            if it is in `PROFILE_FOLDER`.
        top: Number of countries, users, companies and dates to list, such as 10.
    """
    profile = read_top_values(EVENTS, QUESTIONS, source, top)
    report_profile("events-profile", f"Events in {source}", profile, counted="events")
    summary = f"{profile.rows_read:,} read, {profile.rows_rejected:,} would be rejected; {len(profile.answers)} answers"
    return Ended(profile.answers, summary)
