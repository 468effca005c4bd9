"""A source: an operational Postgres database, read incrementally as of one moment, with only the right to SELECT.

The system column `xmin` detects changes: it holds the transaction that wrote a row. If an earlier snapshot did not see
a row, the row's transaction was active at the time of that snapshot or began later. The value of `last_updated` does
not matter for this rule. A newer `last_updated` also counts as a change, because a restored server may number its
transactions anew.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from psycopg import IsolationLevel, sql

from tasks.contracts.source_table import SourceTable
from tasks.engine.errors import SourceBehindError, SourceError, errors_at
from tasks.engine.settings import SourceSettings
from tasks.engine.sync.structures import read_structures
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
        next: Id (64 bits) that is greater than the ids of all completed transactions; empty in an older ledger.
        tables: The fields of `Structure`, by table; empty in an older ledger.
        built: Ids of the warehouse's tables that the rows fill, by name; empty in an older ledger.
    """

    source: str
    newest: str
    horizon: str
    next: str = ""
    tables: Mapping[str, Mapping[str, Sequence[Any]]] = field(default_factory=dict)
    built: Mapping[str, int] = field(default_factory=dict)


class Snapshot:
    """All tables as of one moment, until the transaction of `open_snapshot` ends.

    Attributes:
        tables: Tables to extract.
        unknown_columns: Columns of the source that the pipeline does not extract, by table.
    """

    def __init__(self, connection: Connection, tables: Sequence[SourceTable]) -> None:
        self.tables = tuple(tables)
        self._connection = connection
        self._newest: dict[SourceTable, str] = {}
        with errors_at("source snapshot"):
            ((source, horizon, next_transaction, self._is_replica),) = connection.execute(
                "SELECT s.system_identifier || '/' || c.timeline_id || '/' || d.oid,"
                " pg_snapshot_xmin(pg_current_snapshot())::text, pg_snapshot_xmax(pg_current_snapshot())::text,"
                " pg_is_in_recovery()"
                " FROM pg_control_system() s, pg_control_checkpoint() c, pg_database d"
                " WHERE d.datname = current_database()"
            ).fetchall()
        self._source, self._horizon, self._next = str(source), str(horizon), int(next_transaction)
        self._structures = read_structures(connection, tables)
        self.unknown_columns = {
            table.name: others for table, found in self._structures.items() if (others := found.unknown_to(table))
        }

    @property
    def watermark(self) -> Watermark:
        """Watermark of this snapshot, from which the next extraction continues."""
        for table in self.tables:
            if table not in self._newest:
                self.count_changed(table, None)
        structures = {table.name: asdict(found.of(table)) for table, found in self._structures.items()}
        newest = max(self._newest.values(), default="")
        return Watermark(self._source, newest, self._horizon, str(self._next), structures)

    def usable(self, watermark: Watermark | None) -> tuple[Watermark | None, str]:
        """Decide whether an extraction may continue from a watermark.

        Returns:
            The watermark, or None to extract all rows; and the reason, for the log.

        Raises:
            SourceBehindError: The source is a replica that has not reached the state of the watermark.
        """
        if watermark is None:
            return None, "all rows: this is the first extraction"
        if watermark.source != self._source:
            return None, f"all rows: the source is now database {self._source}, and was {watermark.source}"
        oldest, now = int(watermark.horizon), self._next
        seen = max(oldest, int(watermark.next or 0))
        if now < seen and self._is_replica:
            raise SourceBehindError(
                f"source snapshot: expected the state after transaction {seen - 1} or later, which the last run read,"
                f" found a replica that has reached transaction {now - 1}. Wait until the replica has caught up, or"
                " name the server of the last run"
            )
        if now < seen:
            return None, f"all rows: the source was restored: it is at transaction {now}, and was at {seen}"
        if now - oldest > OLDEST_HORIZON:
            return None, f"all rows: the source made {now - oldest:,} transactions since the last extraction"
        reason = f"the changes since {watermark.newest or 'the source was empty'}"
        if changed := [table.name for table in self.tables if self._unseen_structure(table, watermark)]:
            reason += f", and the rows of changed tables: {', '.join(changed)}"
        return watermark, reason

    def check_follows(self, watermark: Watermark | None) -> None:
        """Check that this snapshot shows the database of a watermark, at the same state or later.

        A key that is missing in this snapshot is then deleted. In another database, an earlier state, or a table whose
        partition was detached, the key may only be absent for a time.

        Raises:
            SourceError: The database or its tables are others, or the state is earlier.
            SourceBehindError: The source is a replica that has not reached the state of the watermark.
        """
        if watermark is None:
            return
        usable, found = self.usable(watermark)
        lost = [
            table.name
            for table in self.tables
            if not set(watermark.tables.get(table.name, {}).get("oids", ())) <= set(self._structures[table].oids)
        ]
        if usable and lost:
            found = f"other tables or partitions: {', '.join(lost)}"
        if lost or not usable:
            raise SourceError(
                f"source snapshot: expected the tables that the last run read, found {found}. No row was marked as"
                " deleted. Run the sync first: it reads the source as it is now"
            )

    def count_changed(self, table: SourceTable, since: Watermark | None) -> int:
        """Number of rows that `copy_changed` returns.

        Args:
            table: One of `tables`.
            since: Result of `usable`.
        """
        with errors_at(table.place):
            ((count, newest),) = self._connection.execute(
                sql.SQL(
                    "SELECT count(*) FILTER (WHERE {}), coalesce((max({}) FILTER (WHERE {}))::text, '') FROM {}"
                ).format(self._changed(table, since), sql.Identifier(table.changed_at), _possible(table), _name(table))
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
        return self._copy(table, table.columns, self._changed(table, since))

    def newest_change(self, until: datetime) -> str:
        """The newest `last_updated` of all tables up to a moment, as Postgres writes it in UTC; empty without rows."""
        found = ""
        for table in self.tables:
            query = sql.SQL("SELECT coalesce(max({0})::text, '') FROM {1} WHERE {0} <= %s").format(
                sql.Identifier(table.changed_at), _name(table)
            )
            with errors_at(table.place):
                ((newest,),) = self._connection.execute(query, [until.astimezone(UTC).replace(tzinfo=None)]).fetchall()
            found = max(found, str(newest))
        return found

    def copy_keys(self, table: SourceTable) -> Iterator[bytes]:
        """Stream the sorted keys of all rows as CSV with a header; raises the errors of `copy_changed`."""
        return self._copy(table, (table.key,), sql.SQL("true"))

    def _unseen_structure(self, table: SourceTable, since: Watermark) -> sql.Composable | None:
        """Condition for the rows that an earlier snapshot saw in another structure, or in a table that it did not read.

        Such a row may differ although no later transaction wrote the row: a table or a partition with older rows took
        the place of another, or a column did.
        """
        if not since.tables:
            return None
        found, known = self._structures[table].of(table), since.tables.get(table.name)
        if known is None or list(known["columns"]) != found.columns:
            return sql.SQL("true")
        if added := sorted(set(found.oids) - set(known["oids"])):
            return sql.SQL("tableoid = ANY({}::oid[])").format(sql.Literal(added))
        return None

    def _changed(self, table: SourceTable, since: Watermark | None) -> sql.Composable:
        """Condition for the rows that an earlier snapshot did not see, or saw differently."""
        if since is None:
            return sql.SQL("true")
        conditions = [_written(since)]
        if since.newest:
            newer = sql.SQL("{} > {}").format(sql.Identifier(table.changed_at), sql.Literal(since.newest))
            conditions.append(sql.SQL("({} AND {})").format(newer, _possible(table)))
        if unseen := self._unseen_structure(table, since):
            conditions.append(unseen)
        return sql.SQL("({})").format(sql.SQL(" OR ").join(conditions))

    def _copy(self, table: SourceTable, columns: Sequence[str], condition: sql.Composable) -> Iterator[bytes]:
        query = sql.SQL("SELECT {} FROM {} WHERE {} ORDER BY {}").format(
            sql.SQL(", ").join(map(sql.Identifier, columns)), _name(table), condition, sql.Identifier(table.key)
        )
        with errors_at(table.place):
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
        read_structures(connection, tables)  # before the lock, which would name only one missing table
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
            yield Snapshot(connection, tables)


def _written(since: Watermark) -> sql.Composable:
    """Condition for the rows that transactions wrote which an earlier snapshot did not see.

    age() compares transaction ids correctly after they wrapped around, and frozen rows keep their ids.
    pg_visible_in_snapshot would not work, because it does not know the ids of subtransactions.
    """
    return sql.SQL("age(xmin) BETWEEN 0 AND age({}::xid)").format(sql.Literal(str(int(since.horizon) % (1 << 32))))


def _possible(table: SourceTable) -> sql.Composable:
    """Condition for the rows whose time of change is not far in the future, as an invalid time may be."""
    return sql.SQL("{} <= localtimestamp + interval '1 day'").format(sql.Identifier(table.changed_at))


def _name(table: SourceTable) -> sql.Identifier:
    return sql.Identifier(table.schema, table.name)
