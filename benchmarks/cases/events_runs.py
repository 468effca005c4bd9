"""Deployed runs that find nothing to do, compared with an empty Prefect flow."""

from typing import TYPE_CHECKING, Any

from benchmarks.case import Case, Contestant, Variables
from benchmarks.cases.events_formats import MONTH, write_events
from benchmarks.flow_runs import BRIEF_FLOW, EMPTY_FLOW, ENGINE, FLOWS

if TYPE_CHECKING:
    from benchmarks.services import Bench

MONTHLY = f"from flows.events_monthly import events_monthly; events_monthly('{MONTH}')"
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "tally events-monthly": ("flows.events_monthly.events_monthly", {"month": MONTH}),
    "tally backfill": ("flows.backfill.backfill", {"pipeline": "events-monthly"}),
    **FLOWS,
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
            BRIEF_FLOW,
            EMPTY_FLOW,
        ),
        "brief flow",
        _before,
        lambda bench, _: bench.rows("SELECT count(*) FROM ledger.loads"),
        is_scaled=False,
    ),
)
