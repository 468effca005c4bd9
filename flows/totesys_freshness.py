"""Flow `totesys-freshness`: checks that the warehouse holds each change of the source that is half an hour old."""

from datetime import timedelta

from prefect import flow

from tasks.contracts.totesys_source import TOTESYS_SOURCE
from tasks.engine.receipts import Freshness
from tasks.freshness import check_freshness, ended_freshness, report_freshness
from tasks.parameters import named_by_start, scheduled_moment
from tasks.run_summary import Ended, with_summary
from tasks.transform import build_schemas

LIMIT = timedelta(minutes=30)
"""Age at which a change must be visible in the warehouse."""


@flow(name="totesys-freshness", flow_run_name=named_by_start("totesys-freshness"))
@with_summary
def totesys_freshness() -> Ended[Freshness]:
    """Warn if the warehouse lacks a change that is more than half an hour old at the scheduled start.

    A source without changes does not make the warehouse stale.
    """
    build_schemas([], [])
    found = check_freshness(TOTESYS_SOURCE, scheduled_moment(), LIMIT)
    report_freshness("totesys-freshness", "totesys", found, LIMIT)
    return ended_freshness(found)
