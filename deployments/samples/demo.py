"""`make demo`: run all pipelines on generated data and check that every row is accounted for.

The demo starts Postgres, S3 and a Prefect server, unless `make up` or the environment provides them. It writes the
generated files to S3, runs the flows and compares their results with the generated data. The exit code is 0 only if
all counts agree.
"""

import argparse
import os
import shlex
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path

from deployments.local import totesys
from deployments.local.child_process import ServiceError
from deployments.local.embedded import running, state_folder
from deployments.local.prefect_services import client_environment, prefect_server
from deployments.local.stack import Stack
from deployments.samples.commerce import SampleShop, sample_shop
from deployments.samples.events import SampleObject, write_year
from deployments.samples.orders_demo import put_orders, run_orders
from deployments.samples.totesys_demo import run_totesys
from tasks.contracts import commerce, events
from tasks.engine.receipts import LoadReceipt, TopValues

YEAR = 2021
SHOP_DAY = date(YEAR, 12, 31)
ROWS = 100_000
BAD_ROWS = 8
QUIET = {
    # The UI shows the logs of the runs. The demo prints its own summary.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "ERROR",
    "PREFECT_CLI_PROMPT": "false",
}


@contextmanager
def environment(home: Path) -> Iterator[dict[str, str]]:
    """Yield the variables that flows need: those of a running stack, else of services that end with the block."""
    stack = Stack(home)
    if stack.process_id and stack.environment_file.exists():
        words = shlex.split(stack.environment_file.read_text(), comments=True)
        yield dict(word.split("=", 1) for word in words if word != "export")
        return
    with ExitStack() as opened, ThreadPoolExecutor() as starters:
        server = starters.submit(opened.enter_context, prefect_server(home / "prefect"))
        services = opened.enter_context(running(home / "services"))
        variables = services.environment | totesys.provide(services, home / "services")
        yield variables | client_environment(home / "prefect", server.result())


def put_year(rows: int) -> list[SampleObject]:
    """Generate a year of events and write it to the lake."""
    from tasks.connections import open_lake, value_of  # noqa: PLC0415 - Prefect reads its settings when imported

    with open_lake() as lake:
        return write_year(
            lambda key, chunks: lake.write(key, chunks, "text/csv"),
            YEAR,
            rows,
            prefix=value_of(events.PREFIX),
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


def put_shop() -> SampleShop:
    """Generate the files of a shop and write them to the lake."""
    from tasks.connections import open_lake, value_of  # noqa: PLC0415 - Prefect reads its settings when imported

    shop = sample_shop(SHOP_DAY)
    with open_lake() as lake:
        for name, content in shop.files.items():
            lake.write(f"{value_of(commerce.PREFIX)}{name}", iter([content]), "text/csv")
    return shop


def run_shop(shop: SampleShop) -> tuple[list[LoadReceipt], list[str]]:
    """Run `commerce-analytics`, print its results, and compare them with the generated data.

    Returns:
        The loads, and one line for each difference.
    """
    from flows.commerce_analytics import commerce_analytics  # noqa: PLC0415 - Prefect reads its settings when imported
    from tasks.connections import open_warehouse  # noqa: PLC0415

    loads = commerce_analytics(as_of=SHOP_DAY)
    loaded = {load.source_uri.rpartition("/")[2]: (load.rows_read, load.rows_rejected) for load in loads}
    differences = [
        f"expected (rows, bad rows) {generated} in {name}, found {loaded.get(name)}"
        for name in shop.files
        if (generated := (shop.rows[name], shop.bad_rows[name])) != loaded.get(name)
    ]
    with open_warehouse() as connection:
        found = connection.execute(
            "SELECT tt_late_shipments, tt_undelivered_items, tt_review_points, product_name, most_ordered_day"
            " FROM commerce_analytics.agg_shipments INNER JOIN commerce_analytics.best_performing_product"
            " USING (ingestion_date) WHERE ingestion_date = %s",
            [SHOP_DAY],
        ).fetchone()
    wanted = shop.late_count, shop.undelivered_count, shop.review_points
    if found is None or found[:3] != wanted:
        differences.append(f"expected (late, undelivered, points of the best product) {wanted}, found {found}")
    else:
        late, undelivered, points, name, day = found
        print(f"\nShop as of {SHOP_DAY}: {late:,} late shipments, {undelivered:,} undelivered items;")
        print(f"  best product: {name}, {points:,} review points, most ordered on {day}")
    return loads, differences


def print_answers(answers: dict[str, TopValues]) -> None:
    """Print the most frequent values of the year for each question."""
    for question, values in answers.items():
        print(f"\nTop {len(values)} {question}")
        for value, count in values:
            print(f"  {count:>9,}  {value}")


def print_summary(loads: list[LoadReceipt], home: Path, seconds: float) -> None:
    """Print the total counts and the locations of the results."""
    from tasks.connections import run_settings  # noqa: PLC0415 - Prefect reads its settings when imported

    settings = run_settings()
    fresh = [load for load in loads if load.status != "unchanged"]
    read, working = sum(load.rows_read for load in fresh), sum(load.seconds for load in fresh)
    exports = f"s3://{os.environ['LAKE_BUCKET']}/{settings.export_prefix}{settings.export_id}"
    is_up = bool(Stack(home).process_id)
    ui = os.environ["PREFECT_API_URL"].removesuffix("/api") if is_up else "`make up` shows them in the Prefect UI"
    print(
        f"\nRead {sum(x.rows_read for x in loads):,} rows = loaded {sum(x.rows_loaded for x in loads):,}"
        f" + rejected {sum(x.rows_rejected for x in loads):,} (see ledger.rejected_rows for line and reason)."
    )
    if fresh:
        print(f"Average speed of the loads: {read / working:,.0f} rows/s.")
    else:
        print(f"An earlier demo has already loaded all files. To load them again, remove {home} and rerun the demo.")
    print(f"Exports: {exports}/*.csv and commerce_analytics.html, the shop's report. manifest.json lists them.")
    print(f"Runs, logs and reports: {ui}. Data: {home}. The demo took {seconds:.0f} s.")


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; return 0 only if all counts agree."""
    parser = argparse.ArgumentParser(
        prog="python -m deployments.samples.demo", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--rows", type=int, default=ROWS, help=f"events for each month (default {ROWS:,})")
    rows = parser.parse_args(arguments).rows
    started, home = time.monotonic(), state_folder()
    print("Starting Postgres, S3 and a Prefect server ...", flush=True)
    try:
        with environment(home) as found:
            os.environ.update(QUIET | found)
            print(f"Writing {12 * rows:,} events of {YEAR} to bucket {found['LAKE_BUCKET']} ...", flush=True)
            objects = put_year(rows)
            loads = run_months(objects)
            from flows.events_insights import events_insights  # noqa: PLC0415 - Prefect reads its settings when imported

            print_answers(events_insights(since=f"{YEAR}-01", until=f"{YEAR}-12"))
            differences = find_differences(objects, loads)
            shop_loads, shop_differences = run_shop(put_shop())
            differences += shop_differences
            loads += shop_loads
            order_loads, order_differences = run_orders(put_orders())
            differences += order_differences
            loads += order_loads
            differences += run_totesys(home / "services")
            print_summary(loads, home, time.monotonic() - started)
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1
    for difference in differences:
        print(f"DIFFERENCE: {difference}", file=sys.stderr)
    print(f"{len(differences)} counts do not agree." if differences else "All counts agree.")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
