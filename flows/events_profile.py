"""Flow `events-profile`: the four questions for one object or local file, streamed, without a warehouse."""

from typing import Annotated

from prefect import flow
from pydantic import Field

from tasks.contracts.event_questions import QUESTIONS
from tasks.contracts.events import EVENTS
from tasks.engine.receipts import TopValues
from tasks.events.profile import read_top_values
from tasks.parameters import Top
from tasks.report import report_profile

Source = Annotated[
    str,
    Field(
        min_length=1,
        description="s3://bucket/key; a local path where PROFILE_FOLDER allows it",
        examples=["s3://lake/2021/04/events.csv"],
    ),
]


@flow(name="events-profile")
def events_profile(source: Source, top: Top = 10) -> dict[str, TopValues]:
    """Answer the four questions from one file of events, as it stands, without loading it.

    Args:
        source: `s3://bucket/key`. A path of a local file only below `PROFILE_FOLDER`, or outside of a deployment.
        top: How many values each question lists.
    """
    profile = read_top_values(EVENTS, QUESTIONS, source, top)
    report_profile("events-profile", f"Events in {source}", profile)
    return profile.answers
