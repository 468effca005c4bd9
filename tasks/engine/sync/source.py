"""A source: an operational Postgres database, read incrementally as of one moment, with only the right to SELECT.

The system column `xmin` detects changes: it holds the transaction that wrote a row. If an earlier snapshot did not see
a row, the row's transaction was active at the time of that snapshot or began later. The value of `last_updated` does
not matter for this rule. A newer `last_updated` also counts as a change, because a restored server may number its
transactions anew.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from psycopg import IsolationLevel, sql

from tasks.contracts.source_table import SourceTable
from tasks.engine.errors import SourceError, errors_at
from tasks.engine.settings import SourceSettings
from tasks.engine.sqlstates import NAMES
from tasks.engine.warehouse.copy_out import CopyOut
from tasks.engine.warehouse.tables import LOCK_WAIT, Connection, connect

OLDEST_HORIZON = 1 << 30
"""Maximum age of a watermark in transactions: Postgres can compare the age of transactions only within 2^31."""

# SET, because a SELECT would already take the snapshot.
_TRANSACTION = f"SET LOCAL lock_timeout = '{LOCK_WAIT}'"


@dataclass(frozen=True)
class Watermark:
    """The extent of a snapshot: the next extraction takes the rows that the snapshot did not see.

    Attributes:
        source: Identity of the database: the cluster's identifier, its timeline, and the database's oid.
        newest: The newest `last_updated` of the snapshot, as Postgres writes it in UTC; empty without rows.
        horizon: Id (64 bits) of the oldest active transaction. Rows of this and later transactions count as unseen.
    """

    source: str
    newest: str
    horizon: str


class Snapshot:
    """All tables as of one moment, until the transaction of `open_snapshot` ends.

    Attributes:
        tables: Tables to extract.
        unknown_columns: Columns of the source that the pipeline does not extract, by table.
    """

    def __init__(
        self, connection: Connection, tables: Sequence[SourceTable], unknown_columns: Mapping[str, tuple[str, ...]]
    ) -> None:
        self.tables = tuple(tables)
        self.unknown_columns = dict(unknown_columns)
        self._connection = connection
        self._newest: dict[SourceTable, str] = {}
        with errors_at("source snapshot"):
            ((source, horizon, next_transaction),) = connection.execute(
                "SELECT s.system_identifier || '/' || c.timeline_id || '/' || d.oid,"
                " pg_snapshot_xmin(pg_current_snapshot())::text, pg_snapshot_xmax(pg_current_snapshot())::text"
                " FROM pg_control_system() s, pg_control_checkpoint() c, pg_database d"
                " WHERE d.datname = current_database()"
            ).fetchall()
        self._source, self._horizon, self._next = str(source), str(horizon), int(next_transaction)

    @property
    def watermark(self) -> Watermark:
        """Watermark of this snapshot, from which the next extraction continues."""
        for table in self.tables:
            if table not in self._newest:
                self.count_changed(table, None)
        return Watermark(self._source, max(self._newest.values(), default=""), self._horizon)

    def usable(self, watermark: Watermark | None) -> tuple[Watermark | None, str]:
        """Decide whether an extraction may continue from a watermark.

        Returns:
            The watermark, or None to extract all rows; and the reason, for the log.
        """
        if watermark is None:
            return None, "all rows: this is the first extraction"
        if watermark.source != self._source:
            return None, f"all rows: the source is now database {self._source}, and was {watermark.source}"
        seen, now = int(watermark.horizon), self._next
        if now < seen:
            return None, f"all rows: the source was restored: it is at transaction {now}, and was at {seen}"
        if now - seen > OLDEST_HORIZON:
            return None, f"all rows: the source made {now - seen:,} transactions since the last extraction"
        return watermark, f"the changes since {watermark.newest or 'the source was empty'}"

    def count_changed(self, table: SourceTable, since: Watermark | None) -> int:
        """Number of rows that `copy_changed` returns.

        Args:
            table: One of `tables`.
            since: Result of `usable`.
        """
        with errors_at(_place(table)):
            ((count, newest),) = self._connection.execute(
                sql.SQL("SELECT count(*) FILTER (WHERE {}), coalesce(max({})::text, '') FROM {}").format(
                    _changed(table, since), sql.Identifier(table.changed_at), _name(table)
                )
            ).fetchall()
        self._newest[table] = str(newest)
        return int(count)

    def copy_changed(self, table: SourceTable, since: Watermark | None) -> Iterator[bytes]:
        """Stream the changed rows as CSV with a header, ordered by key; the same rows give the same bytes.

        The stream contains every changed row, and may contain rows that did not change.

        Args:
            table: One of `tables`.
            since: Result of `usable`; None for all rows.

        Raises:
            WarehouseUnavailableError: The connection to the source is lost; a new snapshot is needed.
            WarehouseError: The source refused the query, for example because a column was dropped.
        """
        return self._copy(table, table.columns, _changed(table, since))

    def newest_change(self, until: datetime) -> str:
        """The newest `last_updated` of all tables up to a moment, as Postgres writes it in UTC; empty without rows."""
        found = ""
        for table in self.tables:
            query = sql.SQL("SELECT coalesce(max({0})::text, '') FROM {1} WHERE {0} <= %s").format(
                sql.Identifier(table.changed_at), _name(table)
            )
            with errors_at(_place(table)):
                ((newest,),) = self._connection.execute(query, [until.astimezone(UTC).replace(tzinfo=None)]).fetchall()
            found = max(found, str(newest))
        return found

    def copy_keys(self, table: SourceTable) -> Iterator[bytes]:
        """Stream the sorted keys of all rows as CSV with a header; raises the errors of `copy_changed`."""
        return self._copy(table, (table.key,), sql.SQL("true"))

    def _copy(self, table: SourceTable, columns: Sequence[str], condition: sql.Composable) -> Iterator[bytes]:
        query = sql.SQL("SELECT {} FROM {} WHERE {} ORDER BY {}").format(
            sql.SQL(", ").join(map(sql.Identifier, columns)), _name(table), condition, sql.Identifier(table.key)
        )
        with errors_at(_place(table)):
            yield from CopyOut(self._connection, query)


@contextmanager
def open_snapshot(
    settings: SourceSettings, tables: Sequence[SourceTable], application_name: str = "tally"
) -> Iterator[Snapshot]:
    """Open one read-only transaction over all tables. Its lock blocks only changes of the tables' structure.

    Args:
        settings: Settings of the source.
        tables: Tables to extract; the function checks all of them before it takes the snapshot.
        application_name: Name in the source's `pg_stat_activity`.

    Raises:
        SourceError: Tables (42P01) or columns (42703) are missing; the message names all of them.
        WarehouseError: The login, the database or the host's name is wrong, or the role may not read a table.
        WarehouseUnavailableError: The source does not answer, or another session changes the structure of a table.
    """
    with connect(settings, application_name, "source", is_written=False) as connection:
        unknown_columns = _verify(connection, tables)
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        with connection.transaction():
            with errors_at("source session"):
                connection.execute(_TRANSACTION)
            # Lock before the snapshot: a table that is rewritten after a snapshot is empty for that snapshot.
            with errors_at("source tables"):
                connection.execute(
                    sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(sql.SQL(", ").join(map(_name, tables)))
                )
            yield Snapshot(connection, tables, unknown_columns)


def _verify(connection: Connection, tables: Sequence[SourceTable]) -> dict[str, tuple[str, ...]]:
    """Check tables and columns; return the columns that are not extracted, by table."""
    with errors_at("source catalog"):
        found: dict[tuple[str, str], list[str]] = {
            (schema, name): columns
            for schema, name, columns in connection.execute(
                "SELECT n.nspname, c.relname, array_agg(a.attname::text ORDER BY a.attnum)"
                " FROM pg_catalog.pg_class c"
                " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
                " JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
                " WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY(%s)"
                " GROUP BY 1, 2",
                [sorted({table.schema for table in tables})],
            )
        }
    where = f"database {connection.info.dbname} at {connection.info.host}:{connection.info.port}"
    if missing := [table for table in tables if (table.schema, table.name) not in found]:
        raise SourceError(
            f"Postgres [42P01] {NAMES['42P01']}: expected {', '.join(map(_place, missing))} in {where}, found"
            f" {', '.join(sorted('.'.join(name) for name in found)) or 'no table'}; check the source's address"
        )
    columns = {table: found[table.schema, table.name] for table in tables}
    absent = {table: sorted(set(table.columns) - set(columns[table])) for table in tables}
    if any(absent.values()):
        errors = (
            f"{_place(table)} without {', '.join(names)}, found {', '.join(columns[table])}"
            for table, names in absent.items()
            if names
        )
        raise SourceError(
            f"Postgres [42703] {NAMES['42703']}: {'; '.join(errors)} (in {where}); nothing was extracted. Restore the"
            " columns, or remove them from the pipeline's list of columns"
        )
    unknown = {t.name: tuple(name for name in columns[t] if name not in t.columns) for t in tables}
    return {name: others for name, others in unknown.items() if others}


def _changed(table: SourceTable, since: Watermark | None) -> sql.Composable:
    """Condition for the rows that an earlier snapshot did not see.

    age() compares transaction ids correctly after they wrapped around, and frozen rows keep their ids.
    pg_visible_in_snapshot would not work, because it does not know the ids of subtransactions.
    """
    if since is None:
        return sql.SQL("true")
    written = sql.SQL("age(xmin) BETWEEN 0 AND age({}::xid)").format(sql.Literal(str(int(since.horizon) % (1 << 32))))
    if not since.newest:
        return written
    return sql.SQL("({} OR {} > {})").format(written, sql.Identifier(table.changed_at), sql.Literal(since.newest))


def _name(table: SourceTable) -> sql.Identifier:
    return sql.Identifier(table.schema, table.name)


def _place(table: SourceTable) -> str:
    return f"{table.schema}.{table.name}"
