"""Many small days of orders: a backfill in one process, and the load of each of ten years of days."""

import os
import sys
from datetime import date, timedelta
from typing import TYPE_CHECKING

from benchmarks.case import Case, Contestant, Variables, program, psql, python

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.services import Bench
    from tasks.engine.build.sql_files import SqlTable

FIRST = date(2021, 4, 1)
ORDERS_OF_A_DAY = 421
BACKFILL = "from flows.backfill import backfill; backfill('orders-daily')"
TABLES = ("latest_orders", "orders_table", "user_months", "users_table", "order_details")


def load_days() -> None:
    """Load the days, one after another over one connection."""
    from benchmarks.step import load
    from tasks.contracts.orders import ORDERS

    days = [f"{FIRST + timedelta(number)}" for number in range(int(os.environ["BENCH_DAYS"]))]
    load(ORDERS, [f"Input/{day}.json" for day in days], days)


def same_sql(variables: Variables) -> str:
    """For each day: a COPY of rows that Tally encoded earlier, the queries of the tables, and the day's CSV."""
    days = [FIRST + timedelta(number) for number in range(int(variables["BENCH_DAYS"]))]
    return "\n".join(part for day in days for part in _statements(variables, day))


def _statements(variables: Variables, day: date) -> list[str]:
    from tasks.engine.build.sql_files import sql_table, tables_of

    folder, columns = variables["BENCH_FOLDER"], variables["BENCH_COLUMNS"]
    tables = [table for table in tables_of("orders_core") if table.text("query.sql")]
    statements = [f"\\copy orders_staging.orders_raw ({columns}) from '{folder}/{day}.rows' with (format binary)"]
    statements += [_affected(table) for table in tables if table.text("affected_keys.sql")]
    statements += [_merge(table) for table in tables]
    export = sql_table("orders_export.orders").text("query.sql").rstrip().removesuffix(";")
    statements.append(f"COPY (\n{export}\n) TO STDOUT (FORMAT csv, HEADER) \\g '{folder}/{day}.csv'")
    values = {"day": day, "first_day": day, "last_day": day}
    for name, value in values.items():
        statements = [text.replace(f"%({name})s", f"'{value}'::date") for text in statements]
    return statements


def _affected(table: "SqlTable") -> str:
    short = table.name.partition(".")[2]
    query = table.text("affected_keys.sql").rstrip().removesuffix(";")
    return (
        f"DROP TABLE IF EXISTS affected_{short};\n"
        f"CREATE TEMP TABLE affected_{short} AS SELECT DISTINCT * FROM (\n{query}\n) AS q;\n"
        f"ANALYZE affected_{short};"
    )


def _merge(table: "SqlTable") -> str:
    short, same = table.name.partition(".")[2], " AND ".join(f"t.{column} = r.{column}" for column in table.key)
    by = " AND ".join(f"t.{column} = d.{column}" for column in table.disposition.columns)
    query = table.text("query.sql").rstrip().removesuffix(";")
    name = short.upper()
    return "\n".join(
        [
            f"CREATE TEMP TABLE result_{short} AS\n{query};",
            f"DELETE FROM {table.name} AS t USING affected_{short} AS d WHERE {by}"
            f" AND NOT EXISTS (SELECT FROM result_{short} AS r WHERE {same});",
            f"MERGE INTO {table.name} AS t USING result_{short} AS r ON {same}",
            f"WHEN MATCHED THEN UPDATE SET {{BENCH_SET_{name}}}",
            f"WHEN NOT MATCHED THEN INSERT ({{BENCH_INSERT_{name}}}) VALUES ({{BENCH_VALUES_{name}}});",
            f"DROP TABLE result_{short};",
        ]
    )


def _columns(bench: "Bench", table: str) -> list[str]:
    query = "SELECT attname FROM pg_attribute WHERE attrelid = '{}'::regclass AND attnum > 0 AND NOT attisdropped"
    return [name for (name,) in bench.rows(query.format(table) + " ORDER BY attnum")]


def write_days(bench: "Bench", days: int, orders: int) -> None:
    """Put the files of consecutive days into the lake, as small as the number of orders says."""
    import random

    from deployments.samples.orders import document, new_orders

    rng = random.Random("bench")  # noqa: S311 - repeatable, not secret
    for number in range(days):
        day = FIRST + timedelta(number)
        body = b"".join(document(new_orders(rng, day, orders)))
        bench.s3.put_object(Bucket=bench.environment["LAKE_BUCKET"], Key=f"Input/{day}.json", Body=body)


def _prepare(bench: "Bench", days: int) -> Variables:
    from tasks.contracts.orders import ORDERS

    bench.prefect()
    write_days(bench, days, bench.scaled(ORDERS_OF_A_DAY))
    bench.create_tables([ORDERS], ["orders_core"])
    variables = {"BENCH_DAYS": f"{days}"}
    bench.run_step(load_days, variables)
    columns = ", ".join(_columns(bench, "orders_staging.orders_raw"))
    for number in range(days):
        day = FIRST + timedelta(number)
        _write_rows(bench, bench.folder / f"{day}.rows", f"SELECT {columns} FROM orders_staging.orders_raw", day)
    for table in TABLES:
        names = _columns(bench, f"orders_core.{table}")
        variables[f"BENCH_SET_{table.upper()}"] = ", ".join(f"{name} = r.{name}" for name in names)
        variables[f"BENCH_INSERT_{table.upper()}"] = ", ".join(names)
        variables[f"BENCH_VALUES_{table.upper()}"] = ", ".join(f"r.{name}" for name in names)
    return {**variables, "BENCH_COLUMNS": columns}


def _write_rows(bench: "Bench", file: "Path", query: str, day: date) -> None:
    import psycopg

    statement = f"COPY ({query} WHERE file_date = '{day}') TO STDOUT (FORMAT binary)".encode()
    with (
        psycopg.connect(bench.environment["WAREHOUSE_DSN"]) as connection,
        file.open("wb") as out,
        connection.cursor().copy(statement) as copy,
    ):
        out.writelines(copy)


def _before(bench: "Bench", _: Contestant) -> None:
    from tasks.contracts.orders import ORDERS
    from tasks.engine.settings import read_warehouse
    from tasks.engine.warehouse.partitions import ensure_partition
    from tasks.engine.warehouse.sessions import connect

    bench.empty()
    bench.create_tables([ORDERS], ["orders_core", "orders_export"])
    with connect(read_warehouse(bench.environment, dict), "bench") as connection:
        ensure_partition(connection, ORDERS, FIRST)


def _small_days(bench: "Bench", days: int) -> Variables:
    from tasks.contracts.orders import ORDERS

    write_days(bench, days, 1)
    bench.create_tables([ORDERS], [])
    return {"BENCH_DAYS": f"{days}"}


def _no_rows(bench: "Bench", _: Contestant) -> None:
    from tasks.contracts.orders import ORDERS

    bench.empty()
    bench.create_tables([ORDERS], [])


CASES = (
    Case(
        "backfill",
        "days",
        f"backfill of {{size}} days of {ORDERS_OF_A_DAY} orders",
        (60,),
        _prepare,
        (
            Contestant(
                "tally", "flow backfill in one process, a day after another", program(sys.executable, "-c", BACKFILL)
            ),
            Contestant(
                "psql", "one transaction of the same SQL, rows encoded earlier, CSV to a local file", psql(same_sql)
            ),
        ),
        "psql",
        _before,
        lambda bench, _: [bench.digest(f"orders_core.{table}") for table in TABLES],
        unit="days",
    ),
    Case(
        "growth",
        "days",
        "loads of {size} days of one order, one after another",
        (365, 1_095, 3_650),
        _small_days,
        (Contestant("tally", "loads of an engine with one connection", python(load_days)),),
        "tally",
        _no_rows,
        lambda bench, _: None,
        unit="days",
        is_default=False,
    ),
)
