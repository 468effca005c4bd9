"""The part of `make demo` that loads a few days of a shop's orders. One day is a holiday without a file."""

import time
from datetime import date
from typing import Any

from deployments.samples.orders import SampleOrders, sample_orders
from deployments.samples.sample import DemoResult, DemoRun, Sample
from tasks.contracts.orders import INPUT_PREFIX

FIRST = date(2021, 12, 23)
DAYS = 5

_TABLES = (
    "SELECT count(*), sum(o.total_price) FROM orders_core.orders_table AS o"
    " INNER JOIN orders_core.latest_orders AS l ON o.transaction_id = l.order_id WHERE l.file_date = ANY(%s)",
    "SELECT count(*), sum(d.quantity) FROM orders_core.order_details AS d"
    " INNER JOIN orders_core.latest_orders AS l ON d.transaction_id = l.order_id WHERE l.file_date = ANY(%s)",
)
_USERS = "SELECT user_id, num_orders FROM orders_core.users_table WHERE user_id = ANY(%s)"


def put_orders() -> SampleOrders:
    """Generate the files of the days and write them to the lake."""
    from tasks.connections import open_lake, value_of  # noqa: PLC0415 - Prefect reads its settings when imported

    sample = sample_orders(FIRST, DAYS)
    with open_lake() as lake:
        for day, content in sample.files.items():
            lake.write(f"{value_of(INPUT_PREFIX)}{day}.json", iter([content]), "application/json")
    return sample


def run_orders(_demo: DemoRun) -> DemoResult:
    """Write the files, run `orders-daily` for each day, and compare the totals with the generated data."""
    from flows.orders_daily import orders_daily  # noqa: PLC0415 - Prefect reads its settings when imported

    sample = put_orders()
    started = time.monotonic()
    loads = [load for day in sample.files for load in orders_daily(day=day)]
    differences = []
    for day, load in zip(sample.files, loads, strict=True):
        generated = sample.rows[day], sample.bad_rows[day]
        if (counted := (load.rows_read, load.rows_rejected)) != generated:
            differences.append(f"expected (rows, bad rows) {generated} in the orders of {day}, found {counted}")
    wanted = (sample.order_count, sample.total_price, sample.item_count, sample.quantity, sample.user_orders)
    found = _totals(sample)
    if found != wanted:
        return DemoResult(
            loads,
            [
                *differences,
                f"expected (orders, price, line items, quantity, orders by user) {wanted}, found {found}",
            ],
        )
    orders, price, items, pieces, users = wanted
    print(f"\nOrders of {len(loads)} days ({time.monotonic() - started:.1f} s): {orders:,} orders for {price:,},")
    print(
        f"  {items:,} line items with {pieces:,} pieces; {len(users)} users took {sum(users.values()):,} of the orders"
    )
    return DemoResult(loads, differences)


def _totals(sample: SampleOrders) -> tuple[Any, ...]:
    """Return the totals of the sample's days and users. The warehouse may contain other days and users."""
    from tasks.connections import open_warehouse  # noqa: PLC0415 - Prefect reads its settings when imported

    with open_warehouse() as connection:
        counts = [
            value for query in _TABLES for value in connection.execute(query, [list(sample.files)]).fetchone() or ()
        ]
        return *counts, dict(connection.execute(_USERS, [list(sample.user_orders)]).fetchall())


SAMPLE = Sample(run_orders, f"orders-daily/orders-daily -p day={FIRST}")
