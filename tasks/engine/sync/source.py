"""A source: an operational Postgres database, read as of one moment, incrementally, with no right but SELECT.

What changed is told by the transaction that wrote a row, its system column `xmin`: a row that an earlier snapshot did
not see was written by a transaction that was at work then or began later, whatever its `last_updated` says. That time
decides as well, for a server that was put back to an earlier state and numbers its transactions anew.
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
from tasks.engine.warehouse.tables import LOCK_WAIT, Connection, connect

BLOCK_BYTES = 1 << 20

OLDEST_HORIZON = 1 << 30
"""Transactions after which a watermark is not used any more: Postgres tells older from newer within 2^31 of them."""

# SET, because a SELECT would take the snapshot already.
_TRANSACTION = f"SET LOCAL lock_timeout = '{LOCK_WAIT}'"


@dataclass(frozen=True)
class Watermark:
    """What a snapshot saw, so that the next extraction takes what it did not: three texts, for the ledger.

    Attributes:
        source: Which database it was: the cluster's identifier, its timeline, and the database's oid.
        newest: The newest `last_updated` that was seen, as Postgres writes it in UTC; empty where there was no row.
        horizon: Id (64 bits) of the oldest transaction that was still at work: all that it and later ones wrote counts
            as unseen.
    """

    source: str
    newest: str
    horizon: str


class Snapshot:
    """All tables as of one moment, for as long as the transaction of `open_snapshot` lasts.

    Attributes:
        tables: What is extracted.
        unknown_columns: By table, columns of the source that are not extracted; to be reported.
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
        """Where the next extraction begins."""
        for table in self.tables:
            if table not in self._newest:
                self.count_changed(table, None)
        return Watermark(self._source, max(self._newest.values(), default=""), self._horizon)

    def usable(self, watermark: Watermark | None) -> tuple[Watermark | None, str]:
        """Whether an extraction may begin at a watermark.

        Returns:
            The watermark, or None where everything is to be extracted; and why, for the log.
        """
        if watermark is None:
            return None, "everything: there was no extraction before"
        if watermark.source != self._source:
            return None, f"everything: the source is database {self._source} now, it was {watermark.source}"
        seen, now = int(watermark.horizon), self._next
        if now < seen:
            return None, f"everything: the source is at transaction {now}, it was at {seen}: it was put back"
        if now - seen > OLDEST_HORIZON:
            return None, f"everything: the source made {now - seen:,} transactions since the extraction before"
        return watermark, f"what changed since {watermark.newest or 'the source was empty'}"

    def count_changed(self, table: SourceTable, since: Watermark | None) -> int:
        """How many rows `copy_changed` gives.

        Args:
            table: One of `tables`.
            since: What `usable` returned.
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
        """CSV with a header of the rows that changed, ordered by key: the same rows give the same bytes.

        No row is missing; one that stood before may come again.

        Args:
            table: One of `tables`.
            since: What `usable` returned; None for all rows.

        Raises:
            WarehouseUnavailableError: The source went away; a new snapshot is needed.
            WarehouseError: It refused, such as for a column that was dropped meanwhile.
        """
        return self._copy(table, table.columns, _changed(table, since))

    def newest_change(self, until: datetime) -> str:
        """The newest `last_updated` of all tables up to a moment, as Postgres writes it in UTC; empty for none."""
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
        """CSV with a header of the keys of all rows, in their order; errors as `copy_changed`."""
        return self._copy(table, (table.key,), sql.SQL("true"))

    def _copy(self, table: SourceTable, columns: Sequence[str], condition: sql.Composable) -> Iterator[bytes]:
        query = sql.SQL("COPY (SELECT {} FROM {} WHERE {} ORDER BY {}) TO STDOUT (FORMAT csv, HEADER)").format(
            sql.SQL(", ").join(map(sql.Identifier, columns)), _name(table), condition, sql.Identifier(table.key)
        )
        block = bytearray()
        with errors_at(_place(table)), self._connection.cursor().copy(query) as rows:
            for row in rows:
                block += row
                if len(block) >= BLOCK_BYTES:
                    yield bytes(block)
                    block.clear()
            if block:
                yield bytes(block)


@contextmanager
def open_snapshot(
    settings: SourceSettings, tables: Sequence[SourceTable], application_name: str = "tally"
) -> Iterator[Snapshot]:
    """One read-only transaction over all tables, which are locked against changes of their structure alone.

    Args:
        settings: Where the source is.
        tables: What is extracted; all of them are verified before the snapshot is handed out.
        application_name: What the source's `pg_stat_activity` shows.

    Raises:
        SourceError: Tables (42P01) or columns (42703) are missing; the message names all of them.
        WarehouseError: The login, the database or the host's name is wrong, or the role may not read a table.
        WarehouseUnavailableError: The source does not answer, or a table's structure is being changed.
    """
    with connect(settings, application_name, "source", is_written=False) as connection:
        unknown_columns = _verify(connection, tables)
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        with connection.transaction():
            with errors_at("source session"):
                connection.execute(_TRANSACTION)
            # Before the snapshot is taken: to a snapshot that is older, a table that was rewritten is empty.
            with errors_at("source tables"):
                connection.execute(
                    sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(sql.SQL(", ").join(map(_name, tables)))
                )
            yield Snapshot(connection, tables, unknown_columns)


def _verify(connection: Connection, tables: Sequence[SourceTable]) -> dict[str, tuple[str, ...]]:
    """Columns that are there and not extracted, by table."""
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
            f" {', '.join(sorted('.'.join(name) for name in found)) or 'no table'}; check which database is meant"
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
            f"Postgres [42703] {NAMES['42703']}: {'; '.join(errors)} (in {where}); nothing is extracted until the"
            " columns are back, or the pipeline is changed"
        )
    unknown = {t.name: tuple(name for name in columns[t] if name not in t.columns) for t in tables}
    return {name: others for name, others in unknown.items() if others}


def _changed(table: SourceTable, since: Watermark | None) -> sql.Composable:
    """Condition of the rows that a snapshot did not see, or not wholly.

    By age(), which compares as Postgres does when ids have wrapped around; frozen rows keep theirs. Not by
    pg_visible_in_snapshot: that does not know the ids of subtransactions.
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
