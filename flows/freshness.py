"""Flow `freshness`: checks that every dataset and every source is in the warehouse by its deadline."""

from collections.abc import Sequence

import flows
from tasks.engine.receipts import Freshness
from tasks.flow_runs import flow
from tasks.freshness import check_all, ended_freshness, report_freshness
from tasks.parameters import named_by_start, scheduled_moment
from tasks.pipeline_discovery import find_pipelines
from tasks.run_summary import Ended, with_summary
from tasks.transform import build_schemas


@flow(name="freshness", flow_run_name=named_by_start("freshness"))
@with_summary
def freshness() -> Ended[Sequence[Freshness]]:
    """Fail in the state `Stale` if data is missing at its deadline, and name each stale dataset.

    Contracts and sources declare their deadlines (`expected`). A dataset without any data is listed and does not fail
    the run.
    """
    build_schemas([], [])
    found = check_all(scheduled_moment(), find_pipelines(flows))
    report_freshness(found)
    return ended_freshness(found)
