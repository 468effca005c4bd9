"""The part of `make demo` that loads a year of events, month by month."""

from deployments.samples.events import SampleObject, write_year
from deployments.samples.sample import DemoResult, DemoRun, Sample
from tasks.contracts.events import EVENTS
from tasks.engine.receipts import LoadReceipt, TopValues

YEAR = 2021
BAD_ROWS = 8


def run_events(demo: DemoRun) -> DemoResult:
    """Load the year, print its most frequent values, and compare the counts with the generated data."""
    from flows.events_insights import events_insights  # noqa: PLC0415 - Prefect reads its settings when imported

    print(f"Writing {12 * demo.rows:,} events of {YEAR} ...", flush=True)
    objects = put_year(demo.rows)
    loads = run_months(objects)
    print_answers(events_insights(since=f"{YEAR}-01", until=f"{YEAR}-12"))
    return DemoResult(loads, find_differences(objects, loads), ["event_counts_by_*.csv"])


def put_year(rows: int) -> list[SampleObject]:
    """Generate a year of events and write it to the lake."""
    from tasks.connections import open_lake  # noqa: PLC0415 - Prefect reads its settings when imported
    from tasks.extract import key_template  # noqa: PLC0415

    with open_lake() as lake:
        return write_year(
            lambda key, chunks: lake.write(key, chunks, "text/csv"),
            YEAR,
            rows,
            prefix=key_template(EVENTS).prefix,
            bad_rows=BAD_ROWS,
        )


def run_months(objects: list[SampleObject]) -> list[LoadReceipt]:
    """Run `events-monthly` for the month of each object and print the results."""
    from flows.events_monthly import events_monthly  # noqa: PLC0415 - Prefect reads its settings when imported

    print(f"\n{'month':8} {'status':10} {'read':>10} {'loaded':>10} {'rejected':>9} {'rows/s':>10}")
    loads = []
    for sample in objects:
        for load in events_monthly(month=sample.month):
            speed = f"{load.rows_read / load.seconds:,.0f}" if load.status != "unchanged" else "skipped"
            print(
                f"{load.partition:8} {load.status:10} {load.rows_read:10,} {load.rows_loaded:10,}"
                f" {load.rows_rejected:9,} {speed:>10}",
                flush=True,
            )
            loads.append(load)
    return loads


def find_differences(objects: list[SampleObject], loads: list[LoadReceipt]) -> list[str]:
    """Compare the generated rows with the loads, and the loads with the marts; return one line for each difference."""
    from tasks.connections import open_warehouse  # noqa: PLC0415 - Prefect reads its settings when imported

    generated = [(sample.month, sample.rows, sample.bad_rows) for sample in objects]
    loaded = [(load.partition, load.rows_read, load.rows_rejected) for load in loads]
    differences = [
        f"expected (month, rows, bad rows) {expected}, found {found}"
        for expected, found in zip(generated, loaded, strict=True)
        if expected != found
    ]
    total = sum(load.rows_loaded for load in loads)
    with open_warehouse() as connection:
        for group in ("country", "user", "company", "date"):
            row = connection.execute(
                f"SELECT sum(event_count) FROM events_marts.event_counts_by_{group}"  # noqa: S608 - fixed names
                " WHERE month >= %s AND month < %s",
                [f"{YEAR}-01-01", f"{YEAR + 1}-01-01"],
            ).fetchone()
            if row != (total,):
                differences.append(f"expected {total:,} events in event_counts_by_{group}, found {row and row[0]}")
    return differences


def print_answers(answers: dict[str, TopValues]) -> None:
    """Print the most frequent values of the year for each question."""
    for question, values in answers.items():
        print(f"\nTop {len(values)} {question}")
        for value, count in values:
            print(f"  {count:>9,}  {value}")


SAMPLE = Sample(run_events, "events-monthly/events-monthly -p month=2021-04")
