"""Checks of clocks: this machine, Postgres, S3 and the Prefect server must agree."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from tasks.engine.doctor.outcomes import Check, Finding, ok, problem, warning
from tasks.engine.lake.client import Lake
from tasks.engine.warehouse.tables import Connection

TOLERATED = timedelta(seconds=5)
"""The difference that is never reported: a date in an HTTP header has whole seconds, and a response takes time."""

REFUSED = timedelta(minutes=5)
"""A larger difference is a problem. S3 refuses requests from 15 minutes on, and schedules are wrong earlier."""

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class RemoteClock:
    """The clock of a service.

    Attributes:
        name: Name of the service.
        read: Asks the service for its time.
        own: The clock of this machine.
    """

    name: str
    read: Clock
    own: Clock = lambda: datetime.now(UTC)


def check_clock(clock: RemoteClock) -> Iterator[Finding]:
    """Compare a service's clock with this machine's clock at the middle of the request."""
    before = clock.own()
    there = clock.read()
    after = clock.own()
    difference = there - (before + (after - before) / 2)
    tolerated = TOLERATED + (after - before)
    found = f"the clock of {clock.name} differs from this machine's clock by {abs(difference).total_seconds():.1f} s"
    step = "Set the clock of the machine that is wrong: timedatectl set-ntp true"
    if abs(difference) > REFUSED:
        yield problem(found, f"at most {TOLERATED.seconds} s: S3 refuses requests, and schedules are wrong", step)
    elif abs(difference) > tolerated:
        yield warning(found, f"at most {TOLERATED.seconds} s: times in the ledger and in Prefect do not agree", step)
    else:
        yield ok(found)


def clock_check(clock: RemoteClock) -> Check[None]:
    """The check of one clock."""
    return Check(f"clock of {clock.name}", lambda _: check_clock(clock))


def postgres_clock(connection: Connection) -> Clock:
    """The clock of Postgres."""

    def read() -> datetime:
        row = connection.execute("SELECT clock_timestamp()").fetchone()
        return row[0].astimezone(UTC) if row else datetime.now(UTC)

    return read


def s3_clock(lake: Lake) -> Clock:
    """The clock of S3, from the header of a response."""

    def read() -> datetime:
        answer = lake.client.list_objects_v2(Bucket=lake.bucket, MaxKeys=1)
        return header_date(answer["ResponseMetadata"]["HTTPHeaders"]["date"])

    return read


def header_date(text: str) -> datetime:
    """The moment of an HTTP `Date` header, plus half a second: the mean of the fraction that the header lacks."""
    return parsedate_to_datetime(text).astimezone(UTC) + timedelta(seconds=0.5)
