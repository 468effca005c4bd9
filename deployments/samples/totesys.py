"""A sample Totesys database, the ERP of a tote-bag business: deterministic, at any scale.

`create_source` creates the tables, `fill_source` inserts the first rows, and `deployments.samples.totesys_changes`
changes them. The same arguments give the same rows on every machine.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from deployments.samples.totesys_rows import FIRST_ROWS, NEW_ROW, Ids, Row

Connection = psycopg.Connection[Any]

DEFAULT_SEED = 20221103
OPENED_AT = datetime(2022, 11, 3, 14, 20, 49, 962000)  # noqa: DTZ001 - the source stores times without a zone
"""The start of the business: `created_at` of the first dimension rows."""

TABLES = """
CREATE TABLE address (
    address_id serial PRIMARY KEY, address_line_1 varchar NOT NULL, address_line_2 varchar, district varchar,
    city varchar NOT NULL, postal_code varchar NOT NULL, country varchar NOT NULL, phone varchar NOT NULL, {times});
CREATE TABLE counterparty (
    counterparty_id serial PRIMARY KEY, counterparty_legal_name varchar NOT NULL, legal_address_id integer,
    commercial_contact varchar, delivery_contact varchar, {times});
CREATE TABLE currency (currency_id serial PRIMARY KEY, currency_code varchar(3) NOT NULL, {times});
CREATE TABLE department (
    department_id serial PRIMARY KEY, department_name varchar NOT NULL, location varchar, manager varchar, {times});
CREATE TABLE design (
    design_id serial PRIMARY KEY, design_name varchar NOT NULL, file_location varchar NOT NULL,
    file_name varchar NOT NULL, {times});
CREATE TABLE staff (
    staff_id serial PRIMARY KEY, first_name varchar NOT NULL, last_name varchar NOT NULL,
    department_id integer NOT NULL, email_address varchar NOT NULL, {times});
CREATE TABLE payment_type (payment_type_id serial PRIMARY KEY, payment_type_name varchar NOT NULL, {times});
CREATE TABLE sales_order (
    sales_order_id serial PRIMARY KEY, design_id integer NOT NULL, staff_id integer NOT NULL,
    counterparty_id integer NOT NULL, units_sold integer NOT NULL, unit_price numeric(10, 2) NOT NULL,
    currency_id integer NOT NULL, agreed_delivery_date varchar NOT NULL, agreed_payment_date varchar NOT NULL,
    agreed_delivery_location_id integer NOT NULL, {times});
CREATE TABLE purchase_order (
    purchase_order_id serial PRIMARY KEY, staff_id integer NOT NULL, counterparty_id integer NOT NULL,
    item_code varchar NOT NULL, item_quantity integer NOT NULL, item_unit_price numeric(10, 2) NOT NULL,
    currency_id integer NOT NULL, agreed_delivery_date varchar NOT NULL, agreed_payment_date varchar NOT NULL,
    agreed_delivery_location_id integer NOT NULL, {times});
CREATE TABLE transaction (
    transaction_id serial PRIMARY KEY, transaction_type varchar NOT NULL, sales_order_id integer,
    purchase_order_id integer, {times});
CREATE TABLE payment (
    payment_id serial PRIMARY KEY, transaction_id integer NOT NULL, counterparty_id integer NOT NULL,
    payment_amount numeric(10, 2) NOT NULL, currency_id integer NOT NULL, payment_type_id integer NOT NULL,
    paid boolean NOT NULL, payment_date varchar, company_ac_number integer NOT NULL,
    counterparty_ac_number integer NOT NULL, {times});
CREATE TABLE _prisma_migrations (
    id varchar(36) PRIMARY KEY, checksum varchar(64) NOT NULL, finished_at timestamptz, migration_name varchar NOT NULL,
    logs text, rolled_back_at timestamptz, started_at timestamptz NOT NULL DEFAULT now(),
    applied_steps_count integer NOT NULL DEFAULT 0);
INSERT INTO _prisma_migrations (id, checksum, migration_name, applied_steps_count)
VALUES ('7a4c', 'e3b0c442', '20221103_init', 1);
CREATE INDEX ON payment (transaction_id);
CREATE INDEX ON transaction (sales_order_id);
CREATE INDEX ON transaction (purchase_order_id);
""".format(times="created_at timestamp(3) NOT NULL DEFAULT now(), last_updated timestamp(3) NOT NULL DEFAULT now()")

FOREIGN_KEYS = (
    ("counterparty", "legal_address_id", "address"),
    ("staff", "department_id", "department"),
    ("sales_order", "design_id", "design"),
    ("sales_order", "staff_id", "staff"),
    ("sales_order", "counterparty_id", "counterparty"),
    ("sales_order", "currency_id", "currency"),
    ("sales_order", "agreed_delivery_location_id", "address"),
    ("purchase_order", "staff_id", "staff"),
    ("purchase_order", "counterparty_id", "counterparty"),
    ("purchase_order", "currency_id", "currency"),
    ("purchase_order", "agreed_delivery_location_id", "address"),
    ("transaction", "sales_order_id", "sales_order"),
    ("transaction", "purchase_order_id", "purchase_order"),
    ("payment", "transaction_id", "transaction"),
    ("payment", "counterparty_id", "counterparty"),
    ("payment", "currency_id", "currency"),
    ("payment", "payment_type_id", "payment_type"),
)
"""The foreign keys: child table, its column, parent table."""


def create_source(connection: Connection, *, reader: str | None = None) -> None:
    """Create empty tables in schema `public`. The foreign keys follow in `fill_source`.

    Args:
        connection: A connection of the database's owner.
        reader: A role that receives only the right to read the tables.
    """
    with connection.transaction():
        connection.execute(TABLES.encode())
        if reader:
            connection.execute(
                sql.SQL(
                    "GRANT USAGE ON SCHEMA public TO {0}; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {0}"
                ).format(sql.Identifier(reader))
            )


def fill_source(
    connection: Connection,
    *,
    seed: int = DEFAULT_SEED,
    sales_orders: int = 500,
    opened_at: datetime = OPENED_AT,
    is_constrained: bool = True,
) -> datetime:
    """Fill the empty tables.

    There is one purchase order for four sales orders. Each order has a transaction. Four of five transactions have a
    payment.

    Args:
        connection: A connection of the database's owner.
        seed: The seed of the random values.
        sales_orders: The number of sales orders. Their times are one minute apart.
        opened_at: The time of the first rows.
        is_constrained: Whether to create the foreign keys.

    Returns:
        The newest `last_updated`.
    """
    rng = random.Random(f"totesys {seed}")  # noqa: S311 - reproducible, not secret
    purchases, opening = sales_orders // 4, _stamp(opened_at)
    transactions = sales_orders + purchases
    ids: dict[str, Sequence[int]] = {table: range(1, count + 1) for table, count in FIRST_ROWS.items()}
    ids |= {"sales_order": range(1, sales_orders + 1), "purchase_order": range(1, purchases + 1)}
    ids["transaction"] = range(1, transactions + 1)
    with connection.transaction():
        for table, count in FIRST_ROWS.items():
            rows = ((number, *NEW_ROW[table](rng, ids, opened_at, number)) for number in range(1, count + 1))
            _copy(connection, table, ((*row, opening, opening) for row in rows))
        for table, count, step in (
            ("sales_order", sales_orders, timedelta(minutes=1)),
            ("purchase_order", purchases, timedelta(minutes=4)),
            ("transaction", transactions, timedelta(seconds=48)),
            ("payment", transactions * 4 // 5, timedelta(minutes=1)),
        ):
            _copy(connection, table, _dated_rows(rng, ids, table, count, opened_at, step))
        for child, column, parent in FOREIGN_KEYS if is_constrained else ():
            connection.execute(
                sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {}").format(
                    *map(sql.Identifier, (child, f"{child}_{column}_fkey", column, parent))
                )
            )
    connection.execute("ANALYZE")
    return opened_at + timedelta(minutes=sales_orders)


def _dated_rows(
    rng: random.Random, ids: Ids, table: str, count: int, opened_at: datetime, step: timedelta
) -> Iterator[Row]:
    new_row = NEW_ROW[table]
    for number in range(1, count + 1):
        at = opened_at + number * step
        stamp = _stamp(at)
        yield (number, *new_row(rng, ids, at, number), stamp, stamp)


def _copy(connection: Connection, table: str, rows: Iterable[Row]) -> None:
    lines: list[str] = []
    last = 0
    with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table))) as copy:
        for last, row in enumerate(rows, 1):  # noqa: B007 - used below as the number of rows
            lines.append("\t".join(["\\N" if value is None else str(value) for value in row]))
            if len(lines) == 10_000:
                copy.write("\n".join(lines) + "\n")
                lines.clear()
        if lines:
            copy.write("\n".join(lines) + "\n")
    if last:
        connection.execute("SELECT setval(pg_get_serial_sequence(%s, %s), %s)", [table, f"{table}_id", last])


def _stamp(at: datetime) -> str:
    return at.isoformat(" ", "milliseconds")
