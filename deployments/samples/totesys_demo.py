"""The part of `make demo` that syncs an operational database: first all rows, then the changes of a simulation."""

import random
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import psycopg

from deployments.local import totesys
from deployments.samples.sample import DemoResult, DemoRun, Sample
from deployments.samples.totesys import DEFAULT_SEED
from deployments.samples.totesys_changes import change_source

CHANGES = 200

_COMPARED = {
    "sales_order": (
        "SELECT sales_order_id, staff_id, counterparty_id, units_sold, unit_price, currency_id, design_id,"
        " agreed_delivery_date::date, agreed_delivery_location_id, last_updated FROM sales_order",
        "SELECT sales_order_id, sales_staff_id, counterparty_id, units_sold, unit_price, currency_id, design_id,"
        " agreed_delivery_date, agreed_delivery_location_id, last_updated_date + last_updated_time"
        " FROM totesys_warehouse.fact_sales_order_current",
    ),
    "purchase_order": (
        "SELECT purchase_order_id, staff_id, counterparty_id, item_code, item_quantity, item_unit_price, currency_id,"
        " agreed_delivery_date::date, agreed_delivery_location_id, last_updated FROM purchase_order",
        "SELECT purchase_order_id, staff_id, counterparty_id, item_code, item_quantity, item_unit_price, currency_id,"
        " agreed_delivery_date, agreed_delivery_location_id, last_updated_date + last_updated_time"
        " FROM totesys_warehouse.fact_purchase_order_current",
    ),
    "payment": (
        "SELECT payment_id, transaction_id, counterparty_id, payment_amount, currency_id, payment_type_id, paid,"
        " payment_date::date, last_updated FROM payment",
        "SELECT payment_id, transaction_id, counterparty_id, payment_amount, currency_id, payment_type_id, paid,"
        " payment_date, last_updated_date + last_updated_time FROM totesys_warehouse.fact_payment_current",
    ),
}
"""For each fact table, queries for the same columns in the source and in the view of its current rows."""


def run_totesys(demo: DemoRun) -> DemoResult:
    """Sync, change the source, sync again, close deleted rows, and compare the warehouse with the source."""
    from flows.totesys_deletions import totesys_deletions  # noqa: PLC0415 - Prefect reads its settings when imported
    from flows.totesys_sync import totesys_sync  # noqa: PLC0415
    from tasks.connections import open_warehouse  # noqa: PLC0415

    if (owner := totesys.owner_dsn(demo.services)) is None:
        print("\nSkipped totesys-sync: there is no Totesys database for external services.")
        return DemoResult()
    print("\nTotesys, an operational database, copied through the lake to a star schema:")
    with psycopg.connect(owner, autocommit=True) as source:
        _run("synced", totesys_sync)
        now = datetime.now(UTC).replace(tzinfo=None)
        counts = change_source(source, random.Random(DEFAULT_SEED), CHANGES, at=now)  # noqa: S311 - not secret
        kinds: Counter[str] = Counter()
        for name, count in counts.items():
            kinds[name.split()[0]] += count
        print("  changed the source: " + ", ".join(f"{kind} {count:,}" for kind, count in sorted(kinds.items())))
        _run("synced", totesys_sync)
        closed = totesys_deletions()
        print(f"  closed {sum(receipt.closed_count for receipt in closed):,} versions of deleted rows")
        with open_warehouse() as warehouse:
            return DemoResult(
                differences=[
                    difference
                    for table, queries in _COMPARED.items()
                    for difference in _differences(table, queries, source, warehouse)
                ]
            )


def _run(word: str, flow: Any) -> None:
    started = time.monotonic()
    for receipt in flow():
        rows = sum(count for _, count in receipt.row_counts)
        print(f"  {word} run {receipt.run_number}: {rows:,} rows in {time.monotonic() - started:.1f} s", flush=True)


def _differences(table: str, queries: tuple[str, str], *connections: psycopg.Connection[Any]) -> list[str]:
    source, warehouse = (
        Counter(connection.execute(query.encode()).fetchall())
        for connection, query in zip(connections, queries, strict=True)
    )
    if source == warehouse:
        print(f"  {table}: all {source.total():,} current rows equal the source")
        return []
    missing, surplus = source - warehouse, warehouse - source
    return [f"{table}: expected the rows of the source, found {missing.total():,} missing, {surplus.total():,} extra"]


SAMPLE = Sample(run_totesys, "totesys-sync/totesys-sync", totesys.provide)
