"""Flow `doctor`: checks the installation, as a run of the pool sees it."""

from tasks.doctor.steps import check_installation, ended_doctor, report_installation
from tasks.engine.doctor.outcomes import Result
from tasks.flow_runs import flow
from tasks.parameters import named_by_start
from tasks.run_summary import Ended, with_summary


@flow(name="doctor", flow_run_name=named_by_start("doctor"))
@with_summary
def doctor() -> Ended[list[Result]]:
    """Check the Prefect server, the warehouse, the buckets and the ledger, and say what to do.

    The run fails if a check finds a problem. It changes nothing, apart from an object that it writes to each bucket and
    removes again.
    """
    results = check_installation()
    report_installation(results)
    return ended_doctor(results)
