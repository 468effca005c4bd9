"""Deployed runs that find nothing to do, compared with an empty Prefect flow."""

import sys
from typing import TYPE_CHECKING, Any

from benchmarks.case import Case, Contestant, Variables, program
from benchmarks.cases.events_formats import MONTH, write_events

if TYPE_CHECKING:
    from benchmarks.services import Bench

MONTHLY = f"from flows.events_monthly import events_monthly; events_monthly('{MONTH}')"
ENGINE = program(sys.executable, "-m", "prefect.engine")
"""What a worker starts for a flow run. The run's id is in a variable."""

RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "tally events-monthly": ("flows.events_monthly.events_monthly", {"month": MONTH}),
    "tally backfill": ("flows.backfill.backfill", {"pipeline": "events-monthly"}),
    "empty flow": ("benchmarks.empty_flow.empty", {}),
}


def _prepare(bench: "Bench", rows: int) -> None:
    from deployments.samples.events import object_key

    bench.prefect()
    folder = bench.folder / f"events-{rows}"
    folder.mkdir(exist_ok=True)
    bench.put(write_events(folder / "events.csv", rows), object_key("", MONTH))
    bench.run_python("-c", MONTHLY)


def _before(bench: "Bench", one: Contestant) -> Variables:
    return {"PREFECT__FLOW_RUN_ID": bench.flow_run(*RUNS[one.name])}


CASES = (
    Case(
        "runs",
        "nothing",
        "deployed runs that find nothing to do",
        (1_000,),
        _prepare,
        (
            Contestant("tally events-monthly", "the month is loaded and built", ENGINE),
            Contestant("tally backfill", "all months are loaded and built", ENGINE),
            Contestant("empty flow", "a flow without a step", ENGINE, "prefect"),
        ),
        "empty flow",
        _before,
        lambda bench, _: bench.rows("SELECT count(*) FROM ledger.loads"),
        is_scaled=False,
    ),
)
