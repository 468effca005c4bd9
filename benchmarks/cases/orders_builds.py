"""Orders of one day: the build of `latest_orders`, the build of all tables, and the export of the day's CSV."""

import hashlib
import os
import shutil
from datetime import date
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.case import ROOT, Case, Contestant, Variables, psql, python

if TYPE_CHECKING:
    from benchmarks.services import Bench

DAY = date(2021, 4, 1)
REPEATED = 0.006
"""Share of the orders that the file holds twice, so that only their whole content breaks the tie."""

TABLES = ("latest_orders", "orders_table", "user_months", "users_table", "order_details")


def tally_latest() -> None:
    """Build `latest_orders` alone."""
    _build(Path(os.environ["BENCH_SQL"]))


def tally_tables() -> None:
    """Build all tables of the schema."""
    _build(ROOT / "sql")


def _build(root: Path) -> None:
    from benchmarks.step import engine
    from tasks.contracts.orders import ORDERS
    from tasks.engine.build.builder import build_tables

    with engine() as (connection, _):
        build_tables(connection, "orders_core", {"day": DAY}, partition=f"{DAY}", contracts=[ORDERS], root=root)


def tally_csv() -> None:
    """Export the day's CSV."""
    from benchmarks.step import engine
    from tasks.engine.build.sql_files import sql_table
    from tasks.engine.export.exporter import export_of_query, write_file

    days = {"first_day": DAY, "last_day": DAY}
    with engine() as (connection, lake):
        export = export_of_query(sql_table("orders_export.orders"), days, name="bench")
        write_file(connection, lake, export, prefix="out/", group="bench/")


def load() -> None:
    """Load the day."""
    from benchmarks.step import load as load_objects
    from tasks.contracts.orders import ORDERS

    load_objects(ORDERS, [os.environ["BENCH_KEY"]], [f"{DAY}"])


def distinct_on(variables: Variables) -> str:
    """The current versions, with any order among versions of the same time."""
    columns = variables["BENCH_COLUMNS"]
    sources = {"order_id": "id", "is_test": "test"}
    selected = ", ".join(sources.get(column, column) for column in columns.split(", "))
    return (
        f"INSERT INTO orders_core.latest_orders ({columns})\n"
        f"SELECT DISTINCT ON (id) {selected} FROM orders_staging.orders_raw\n"
        "ORDER BY id, updated_at DESC, file_date DESC, load_id DESC;\n"
    )


def copy_ordered(_: Variables) -> str:
    """The day's rows, with any order among versions of the same time."""
    from tasks.contracts.orders import ORDERS

    columns = ", ".join(["file_date", *(column.name for column in ORDERS.columns)])
    query = f"SELECT {columns} FROM orders_staging.orders_raw ORDER BY file_date, id, updated_at"
    return f"\\copy ({query}) to '{{BENCH_OUT}}' with (format csv, header)\n"


def _prepare(bench: "Bench", rows: int) -> Variables:
    import random

    from deployments.samples.orders import document, new_orders
    from tasks.contracts.orders import ORDERS

    file, root = bench.folder / "orders.json", bench.folder / "sql"
    rng = random.Random("bench")  # noqa: S311 - repeatable, not secret
    repeated = [*new_orders(rng, DAY, max(1, round(rows * REPEATED)))]
    others = new_orders(rng, DAY, rows)
    for _ in repeated:
        next(others, None)  # the numbers of the repeated orders
    with file.open("wb") as out:
        out.writelines(document(chain(repeated, others, repeated)))
    bench.put(file, "bench/orders.json")
    bench.create_tables([ORDERS], ["orders_core"])
    bench.run_step(load, {"BENCH_KEY": "bench/orders.json"})
    others_of_schema = shutil.ignore_patterns(*TABLES[1:])
    shutil.copytree(ROOT / "sql" / "orders_core", root / "orders_core", ignore=others_of_schema, dirs_exist_ok=True)
    (columns,) = bench.rows(
        "SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute"
        " WHERE attrelid = 'orders_core.latest_orders'::regclass AND attnum > 0 AND NOT attisdropped"
    )[0]
    return {"BENCH_SQL": str(root), "BENCH_COLUMNS": columns, "BENCH_OUT": str(bench.folder / "orders.csv")}


def _before(bench: "Bench", _: Contestant) -> None:
    bench.execute(*(f"TRUNCATE orders_core.{table}" for table in TABLES), "DELETE FROM ledger.builds")


def _csv_digest(bench: "Bench", one: Contestant) -> object:
    if one.is_own:
        stored = bench.s3.get_object(Bucket=bench.environment["LAKE_BUCKET"], Key="out/bench.csv")
        return hashlib.sha256(stored["Body"].read()).hexdigest()
    return hashlib.sha256((bench.folder / "orders.csv").read_bytes()).hexdigest()


CASES = (
    Case(
        "builds",
        "latest_orders",
        "latest_orders of {size} orders",
        (80_000,),
        _prepare,
        (
            Contestant("tally", "merges and checks the table, writes the ledger", python(tally_latest)),
            Contestant("DISTINCT ON", "psql inserts the current versions, without a tie-break", psql(distinct_on)),
        ),
        "DISTINCT ON",
        _before,
        lambda bench, _: bench.digest("orders_core.latest_orders"),
    ),
    Case(
        "builds",
        "orders_csv",
        "CSV of {size} orders",
        (80_000,),
        _prepare,
        (
            Contestant("tally", "to S3, verified, with an order by the whole content", python(tally_csv)),
            Contestant("psql", r"\copy to a local file, without a tie-break", psql(copy_ordered)),
        ),
        "psql",
        _before,
        _csv_digest,
    ),
    Case(
        "growth",
        "orders",
        "all tables of {size} orders of one day",
        (80_000, 240_000, 720_000),
        _prepare,
        (Contestant("tally", "merges and checks the four tables", python(tally_tables)),),
        "tally",
        _before,
        is_default=False,
    ),
)
