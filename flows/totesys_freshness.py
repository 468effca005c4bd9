"""Flow `totesys-freshness`: whether the warehouse shows what changed in an operational database half an hour ago."""

from datetime import timedelta

from prefect import flow

from tasks.contracts.totesys_source import SOURCE_TABLES
from tasks.engine.receipts import Freshness
from tasks.freshness import check_freshness, report_freshness
from tasks.parameters import named_by_start, scheduled_moment
from tasks.transform import build_schemas

LIMIT = timedelta(minutes=30)
"""Age from which a change must be visible in the warehouse."""


@flow(name="totesys-freshness", flow_run_name=named_by_start("totesys-freshness"))
def totesys_freshness() -> Freshness:
    """Warn where a change that is older than half an hour, as of the scheduled start, is not in the warehouse.

    A source in which nothing changes makes no warehouse stale.
    """
    build_schemas([], [])
    found = check_freshness("totesys", SOURCE_TABLES, scheduled_moment(), LIMIT)
    report_freshness("totesys-freshness", "totesys", found, LIMIT)
    return found
