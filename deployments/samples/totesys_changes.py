"""Changes of a sample Totesys database: orders, payments, corrections, deletions, and transactions that commit late."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Self

import psycopg
from psycopg import sql

from deployments.samples.totesys import FOREIGN_KEYS, Connection
from deployments.samples.totesys_rows import FIRST_ROWS, NEW_ROW, Ids
from tasks.contracts.totesys_source import SOURCE_TABLES

BLOCKED = "blocked"
"""The name under which `change_source` counts skipped changes: those that would wait for an open transaction."""

_COLUMNS = {table.name: table.columns[1:-2] for table in SOURCE_TABLES}
_PARENTS = {table: {parent for child, _, parent in FOREIGN_KEYS if child == table} for table in _COLUMNS}


def change_source(
    connection: Connection, rng: random.Random, changes: int = 100, *, at: datetime, silent_share: float = 0.0
) -> Counter[str]:
    """Make random changes: about one third are new orders, the others are payments, corrections and deletions.

    Each change is a transaction, or a savepoint if a transaction is open. The changes depend only on the content of the
    database and the state of `rng`.

    Args:
        connection: A connection of the database's owner, in autocommit mode or in a transaction.
        rng: The source of random values.
        changes: The number of changes. A new order also inserts a transaction. A cancelled order also deletes its
            transaction and payments.
        at: `last_updated` of the first change. Each further change is one millisecond later.
        silent_share: The share of corrections that do not set `last_updated`, like a faulty script.

    Returns:
        The number of changed rows by kind, such as `insert sales_order` or `delete payment`, and the number of skipped
        changes (`BLOCKED`).
    """
    counts: Counter[str] = Counter()
    for number in range(changes):
        action = rng.choices(_ACTIONS, _WEIGHTS)[0]
        change = _Change(connection, rng, at + timedelta(milliseconds=number), silent_share)
        try:
            with connection.transaction():
                connection.execute("SET LOCAL lock_timeout = '50ms'")
                action(change)
        except psycopg.errors.LockNotAvailable:
            counts[BLOCKED] += 1
        else:
            counts += change.counts
    return counts


class PendingChanges:
    """An open transaction with changes. As a context manager, it rolls back unless `commit` was called.

    While the transaction is open, `change_source` skips the rows that it has changed.

    Args:
        dsn: The DSN of the database's owner.
        rng: The source of random values.
        changes: The number of changes.
        at: `last_updated` of the changed rows, independent of the time of the commit.
    """

    def __init__(self, dsn: str, rng: random.Random, changes: int = 5, *, at: datetime) -> None:
        self._connection: Connection = psycopg.connect(dsn)
        self._connection.execute("SELECT 1")  # opens the transaction, so that each change becomes a savepoint
        self.counts = change_source(self._connection, rng, changes, at=at)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def commit(self) -> None:
        """Make the changes visible."""
        self._connection.commit()
        self._connection.close()


class _Change:
    """The operations that a single change consists of."""

    def __init__(self, connection: Connection, rng: random.Random, at: datetime, silent_share: float) -> None:
        self._connection, self.rng, self._at, self._silent_share = connection, rng, at, silent_share
        self.counts: Counter[str] = Counter()

    def any_row(self, table: str) -> int | None:
        """Return the id of a random existing row, or None if the table is empty."""
        names = {"key": sql.Identifier(f"{table}_id"), "table": sql.Identifier(table)}
        query = sql.SQL("SELECT min({key}), max({key}) FROM {table}").format(**names)
        ((first, last),) = self._connection.execute(query).fetchall()
        if first is None:
            return None
        query = sql.SQL("SELECT {key} FROM {table} WHERE {key} >= %s ORDER BY {key} LIMIT 1").format(**names)
        ((found,),) = self._connection.execute(query, [self.rng.randint(first, last)]).fetchall()
        return int(found)

    def insert(self, table: str, **parents: Sequence[int]) -> int | None:
        """Insert a row and return its id, or None if a parent table is empty.

        Parents that are not given are random existing rows.
        """
        if (ids := self._any_parents(table, **parents)) is None:
            return None
        values = self._values(table, ids, 1 if parents else self.rng.randint(1, 1_000_000))
        columns = [*_COLUMNS[table], "created_at", "last_updated"]
        query = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING {}").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, columns)),
            sql.SQL(", ").join([sql.Placeholder()] * len(columns)),
            sql.Identifier(f"{table}_id"),
        )
        ((key,),) = self._connection.execute(query, [*values.values(), self._at, self._at]).fetchall()
        self.counts[f"insert {table}"] += 1
        return int(key)

    def correct(self, table: str) -> None:
        """Change up to two columns of a random row, but never the order of a transaction or a payment's transaction."""
        changed: dict[str, str | int | None] = {}
        if (key := self.any_row(table)) is None:
            return
        if table != "transaction":
            ids = self._any_parents(table)
            new = self._values(table, ids, self.rng.randint(1, 1_000_000)) if ids is not None else {}
            new.pop("transaction_id", None)
            changed = {name: new[name] for name in self.rng.sample(sorted(new), min(len(new), 2))}
        if self.rng.random() >= self._silent_share:
            changed["last_updated"] = self._at.isoformat()
        if changed:
            self._connection.execute(
                sql.SQL("UPDATE {} SET {} WHERE {} = %s").format(
                    sql.Identifier(table),
                    sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in changed),
                    sql.Identifier(f"{table}_id"),
                ),
                [*changed.values(), key],
            )
            self.counts[f"update {table}"] += 1

    def delete(self, table: str, column: str, value: int) -> None:
        """Delete the rows with the value that no other row refers to."""
        unused = sql.SQL(" AND ").join(
            [
                sql.SQL("{} = %s").format(sql.Identifier(column)),
                *(
                    sql.SQL("NOT EXISTS (SELECT FROM {} WHERE {} = {}.{})").format(
                        *map(sql.Identifier, (child, reference, table, f"{table}_id"))
                    )
                    for child, reference, parent in FOREIGN_KEYS
                    if parent == table
                ),
            ]
        )
        query = sql.SQL("DELETE FROM {} WHERE {}").format(sql.Identifier(table), unused)
        if count := self._connection.execute(query, [value]).rowcount:
            self.counts[f"delete {table}"] += count

    def rows_of(self, table: str, column: str, value: int) -> list[int]:
        """Return the ids of the rows with the value."""
        query = sql.SQL("SELECT {0} FROM {1} WHERE {2} = %s ORDER BY {0}").format(
            *map(sql.Identifier, (f"{table}_id", table, column))
        )
        return [int(key) for (key,) in self._connection.execute(query, [value])]

    def _any_parents(self, table: str, **given: Sequence[int]) -> Ids | None:
        ids: dict[str, Sequence[int]] = dict(given)
        for parent in sorted(_PARENTS[table] - given.keys()):
            if (found := self.any_row(parent)) is None:
                return None
            ids[parent] = [found]
        return ids

    def _values(self, table: str, ids: Ids, number: int) -> dict[str, str | int | None]:
        return dict(zip(_COLUMNS[table], NEW_ROW[table](self.rng, ids, self._at, number), strict=True))


def _sell(change: _Change) -> None:
    if (order := change.insert("sales_order")) is not None:
        change.insert("transaction", sales_order=[order], purchase_order=[])


def _buy(change: _Change) -> None:
    if (order := change.insert("purchase_order")) is not None:
        change.insert("transaction", sales_order=[], purchase_order=[order])


def _pay(change: _Change) -> None:
    change.insert("payment")


def _correct_fact(change: _Change) -> None:
    change.correct(change.rng.choice(("sales_order", "purchase_order", "payment", "transaction")))


def _correct_dimension(change: _Change) -> None:
    change.correct(change.rng.choice(tuple(FIRST_ROWS)))


def _add_dimension(change: _Change) -> None:
    change.insert(change.rng.choice(("address", "counterparty", "department", "design", "staff")))


def _delete_payment(change: _Change) -> None:
    if (key := change.any_row("payment")) is not None:
        change.delete("payment", "payment_id", key)


def _cancel_order(change: _Change) -> None:
    table = change.rng.choice(("sales_order", "purchase_order"))
    if (order := change.any_row(table)) is not None:
        for transaction in change.rows_of("transaction", f"{table}_id", order):
            change.delete("payment", "transaction_id", transaction)
            change.delete("transaction", "transaction_id", transaction)
        change.delete(table, f"{table}_id", order)


def _retire(change: _Change) -> None:
    table = change.rng.choice(("address", "counterparty", "design", "staff"))
    if (key := change.any_row(table)) is not None:
        change.delete(table, f"{table}_id", key)


_WEIGHTED: dict[Callable[[_Change], None], int] = {
    _sell: 25,
    _buy: 10,
    _pay: 20,
    _correct_fact: 20,
    _correct_dimension: 8,
    _add_dimension: 6,
    _delete_payment: 4,
    _cancel_order: 4,
    _retire: 3,
}
_ACTIONS, _WEIGHTS = tuple(_WEIGHTED), tuple(_WEIGHTED.values())
