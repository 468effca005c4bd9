"""Growth of loads: rows, distinct companies, columns, and the workers of a backfill."""

import os
import sys
from dataclasses import replace
from itertools import cycle, islice
from typing import TYPE_CHECKING

from benchmarks.case import Case, Contestant, Variables, program, python
from benchmarks.cases.events_formats import MONTH, tally, write_events

if TYPE_CHECKING:
    from benchmarks.services import Bench
    from tasks.contracts import Contract

ROWS_OF_COMPANIES = 1_000_000
ROWS_OF_COLUMNS = 100_000
MONTHS, ROWS_OF_A_MONTH = 6, 200_000
BACKFILL = "from flows.backfill import backfill; backfill('events-monthly')"
QUICK = {"PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_WORKER_PREFETCH_SECONDS": "1"}


def wide() -> None:
    """Load the object with many columns."""
    from benchmarks.step import load

    load(wide_contract(int(os.environ["BENCH_COLUMN_COUNT"])), [os.environ["BENCH_KEY"]], [MONTH])


def wide_contract(count: int) -> "Contract":
    """Return a contract with a number of columns of four types in turns."""
    from tasks.contracts import Column
    from tasks.contracts.events import EVENTS
    from tasks.contracts.types import BIGINT, DATE, NUMERIC, TEXT

    types = islice(cycle([BIGINT, TEXT, NUMERIC(14, 2), DATE]), count)
    columns = tuple(Column(f"c{number}", type_, "A value.") for number, type_ in enumerate(types))
    return replace(EVENTS, dataset="wide_events", table="events_staging.wide_events", columns=columns)


def _rows(bench: "Bench", rows: int) -> Variables:
    folder = bench.folder / f"events-{rows}"
    folder.mkdir(exist_ok=True)
    file = write_events(folder / "events.csv", rows)
    bench.put(file, "bench/growth.csv")
    file.unlink()
    return {"BENCH_KEY": "bench/growth.csv"}


def _companies(bench: "Bench", companies: int) -> Variables:
    rows, file = max(companies, bench.scaled(ROWS_OF_COMPANIES)), bench.folder / "companies.csv"
    with file.open("w") as out:
        out.write("id,timestamp,email,country,ip,uri,action,tags\n")
        for number in range(rows):
            email = f"ann@company{number % companies}.co.uk"
            out.write(f"00000000-0000-4000-a000-{number:012d},{MONTH}-05,{email},Palau,192.0.2.1,index,visit,['a']\n")
    bench.put(file, "bench/companies.csv")
    return {"BENCH_KEY": "bench/companies.csv"}


def _columns(bench: "Bench", columns: int) -> Variables:
    rows, file = bench.scaled(ROWS_OF_COLUMNS), bench.folder / "wide.csv"
    values = ",".join(islice(cycle(["1234567", "some text", "1234.50", f"{MONTH}-05"]), columns))
    with file.open("w") as out:
        out.write(",".join(f"c{number}" for number in range(columns)) + "\n")
        out.writelines(f"{values}\n" for _ in range(rows))
    bench.put(file, "bench/wide.csv")
    return {"BENCH_KEY": "bench/wide.csv", "BENCH_COLUMN_COUNT": f"{columns}"}


def _empty_staging(bench: "Bench", _: Contestant) -> None:
    from tasks.contracts.events import EVENTS

    bench.execute("DROP SCHEMA IF EXISTS events_staging, ledger CASCADE")
    bench.create_tables([EVENTS], [])


def _empty_wide(bench: "Bench", _: Contestant) -> None:
    bench.execute("DROP SCHEMA IF EXISTS events_staging, ledger CASCADE")
    bench.create_tables([wide_contract(int(bench.variables["BENCH_COLUMN_COUNT"]))], [])


def _workers(bench: "Bench", workers: int) -> Variables:
    """Deliver the months, deploy the flows to a new server, and start workers that run one flow at a time."""
    from deployments.local.prefect_services import client_environment, prefect_server, worker
    from deployments.samples.events import events_csv, object_key

    for number in range(1, MONTHS + 1):
        month = f"2021-{number:02d}"
        body = b"".join(events_csv(month, bench.scaled(ROWS_OF_A_MONTH), bad_rows=0))
        bench.s3.put_object(Bucket=bench.environment["LAKE_BUCKET"], Key=object_key("", month), Body=body)
    folder = bench.folder / f"prefect-{workers}"
    url = bench.ends.enter_context(prefect_server(folder, has_ui=False))
    variables = client_environment(folder, url)
    bench.run_python("-m", "deployments.register", "--pool", "process", "--deploy", variables=variables)
    environment = {**bench.environment, **variables, **QUICK}
    for number in range(workers):
        log, name = folder / f"worker-{number}.log", f"worker-{number}"
        running = worker("tally-process", "process", environment=environment, log=log, name=name, limit=1)
        bench.ends.enter_context(running)
    return variables


def _empty(bench: "Bench", _: Contestant) -> None:
    bench.execute("DROP SCHEMA IF EXISTS events_staging, events_marts, ledger CASCADE")


LOADED = Contestant("tally", "load of the object", python(tally))
CASES = (
    Case(
        "growth",
        "rows",
        "load of {size} events",
        (1_000_000, 4_000_000, 10_000_000),
        _rows,
        (LOADED,),
        "tally",
        _empty_staging,
        is_default=False,
    ),
    Case(
        "growth",
        "companies",
        f"load of {ROWS_OF_COMPANIES:,} events of {{size}} companies in turns",
        (1_000, 100_000, 1_000_000),
        _companies,
        (LOADED,),
        "tally",
        _empty_staging,
        unit="companies",
        is_default=False,
    ),
    Case(
        "growth",
        "columns",
        f"load of {ROWS_OF_COLUMNS:,} rows of {{size}} columns",
        (10, 50, 200),
        _columns,
        (Contestant("tally", "load of the object", python(wide)),),
        "tally",
        _empty_wide,
        unit="columns",
        is_scaled=False,
        is_default=False,
    ),
    Case(
        "growth",
        "workers",
        f"backfill of {MONTHS} months of {ROWS_OF_A_MONTH:,} events by {{size}} workers",
        (1, 2, 4),
        _workers,
        (Contestant("tally", "flow backfill, workers of one run each", program(sys.executable, "-c", BACKFILL)),),
        "tally",
        _empty,
        unit="workers",
        is_scaled=False,
        is_default=False,
        grows="divided",
    ),
)
