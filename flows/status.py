"""Flow `status`: the state of all datasets on one page."""

from tasks.engine.status.facts import Facts
from tasks.flow_runs import flow
from tasks.parameters import named_by_start
from tasks.run_summary import Ended, with_summary
from tasks.status import ended_status, read_status, report_status


@flow(name="status", flow_run_name=named_by_start("status"))
@with_summary
def status() -> Ended[Facts]:
    """Publish what is loaded, what failed and why, what is late, and when each flow runs next.

    The run writes the page `{EXPORT_PREFIX}status.html` and the artifact `status`. It completes even if data needs
    attention: `freshness` fails for late data, and alerts tell people.
    """
    facts = read_status()
    return ended_status(facts, report_status(facts))
