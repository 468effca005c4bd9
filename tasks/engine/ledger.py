"""The ledger: records loads, rejected rows, builds and exports."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import sql
from psycopg.types.json import Jsonb

from tasks.engine.receipts import ExportReceipt, ObjectRef
from tasks.engine.rejected_rows import RejectedRow
from tasks.engine.warehouse.tables import Connection

REASONS = 1_000
"""Maximum number of distinct reasons in the counts of one load."""


@dataclass(frozen=True)
class LoadEntry:
    """The `loaded` entry of one object."""

    load_id: int
    partition: str
    source_uri: str
    source_version: str
    rows_read: int
    rows_loaded: int
    rows_rejected: int
    contract_digest: str | None = None

    def is_of(self, source: ObjectRef, digest: str) -> bool:
        """Return whether the load is of this object version in this partition, and of this contract.

        Entries of older versions of Tally have no contract digest. They match every contract.
        """
        found = (self.source_uri, self.source_version, self.partition)
        is_same = found == (source.uri, source.version, source.partition)
        return is_same and self.contract_digest in (None, digest)


_IN_ITS_PLACE = sql.SQL("dataset = %s AND status = 'loaded' AND (source_uri = %s OR (%s AND partition = ''))")
"""Selects the current load that an object replaces: the load of the same object or, in a dataset that one object fills,
the load of any object."""

_ENTRY = sql.SQL(
    "SELECT load_id, partition, source_uri, source_version, rows_read, rows_loaded, rows_rejected, contract_digest"
    " FROM ledger.loads WHERE {} AND replay_of IS NULL"
)


def find_load(
    connection: Connection, dataset: str, source: ObjectRef, *, is_appended: bool = False
) -> LoadEntry | None:
    """Return the entry of a current load that an object replaces, of another object if it replaces several, or None.

    Args:
        connection: To the warehouse.
        dataset: Dataset of the object.
        source: The object.
        is_appended: Whether the object replaces only itself in a dataset without partitions.
    """
    query = _ENTRY.format(_IN_ITS_PLACE) + sql.SQL(" ORDER BY source_uri = %s LIMIT 1")
    is_only_one = not source.partition and not is_appended
    row = connection.execute(query, [dataset, source.uri, is_only_one, source.uri]).fetchone()
    return LoadEntry(*row) if row else None


def current_loads(connection: Connection, dataset: str, partition: str) -> dict[str, LoadEntry]:
    """Return the entries of the current loads of a partition, by address of the object, without replays."""
    condition = sql.SQL("dataset = %s AND partition = %s AND status = 'loaded'")
    entries = [LoadEntry(*row) for row in connection.execute(_ENTRY.format(condition), [dataset, partition])]
    return {entry.source_uri: entry for entry in entries}


def remove_loads(connection: Connection, load_ids: Sequence[int]) -> list[int]:
    """Mark loads and their replays as removed, in the transaction that deletes their rows. Returns all their ids."""
    rows = connection.execute(
        "UPDATE ledger.loads SET status = 'removed', removed_at = now()"
        " WHERE status = 'loaded' AND (load_id = ANY(%s) OR replay_of = ANY(%s)) RETURNING load_id",
        [list(load_ids), list(load_ids)],
    )
    return sorted(int(load_id) for (load_id,) in rows)


def count_current_rows(connection: Connection, load_id: int) -> int:
    """Count the rows in the table that a load and the replays of its rejected rows wrote."""
    row = connection.execute(
        "SELECT sum(rows_loaded) FROM ledger.loads WHERE status = 'loaded' AND (load_id = %s OR replay_of = %s)",
        [load_id, load_id],
    ).fetchone()
    return int(row[0]) if row and row[0] is not None else 0


def open_load(
    connection: Connection,
    dataset: str,
    source: ObjectRef,
    flow_run_id: str | None,
    contract_digest: str | None = None,
    *,
    is_appended: bool = False,
) -> int:
    """Add a load, in the transaction that writes its rows.

    The load that the object replaces, and the replays of that load, become `superseded`.
    """
    row = connection.execute("SELECT nextval(pg_get_serial_sequence('ledger.loads', 'load_id'))").fetchone()
    load_id = int(row[0]) if row else 0
    connection.execute(
        sql.SQL("UPDATE ledger.loads SET status = 'superseded', superseded_by = %s WHERE {}").format(_IN_ITS_PLACE),
        [load_id, dataset, source.uri, not source.partition and not is_appended],
    )
    connection.execute(
        "INSERT INTO ledger.loads (load_id, dataset, partition, source_uri, source_version, size_bytes, flow_run_id,"
        " contract_digest, is_appended) OVERRIDING SYSTEM VALUE VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [
            load_id,
            dataset,
            source.partition,
            source.uri,
            source.version,
            source.size_bytes,
            flow_run_id,
            contract_digest,
            is_appended,
        ],
    )
    return load_id


def close_load(
    connection: Connection, load_id: int, rows_loaded: int, rows_rejected: int, columns: Sequence[str] | None = None
) -> None:
    """Record the counts of a load and the names of the object's columns, just before the commit."""
    connection.execute(
        "UPDATE ledger.loads SET rows_read = %s, rows_loaded = %s, rows_rejected = %s, columns = %s WHERE load_id = %s",
        [rows_loaded + rows_rejected, rows_loaded, rows_rejected, _storable(columns), load_id],
    )


def _storable(names: Sequence[str] | None) -> list[str] | None:
    """Escape NUL in column names, because Postgres cannot store NUL in text."""
    return [name.replace("\0", "\\x00") for name in names] if names else None


def write_rejected(connection: Connection, load_id: int, rows: Iterable[RejectedRow]) -> None:
    """Write rejected rows, in the transaction of their load."""
    # In text format Postgres parses the values by the types of the table. In binary format it would trust their types.
    statement = "COPY ledger.rejected_rows (load_id, line_number, column_name, reason_code, reason, raw) FROM STDIN"
    with connection.cursor().copy(statement) as copy:
        for row in rows:
            copy.write_row((load_id, row.line_number, row.column_name, row.why.code.value, row.reason, row.raw))


def count_by_reason(connection: Connection, load_id: int) -> tuple[tuple[str, int], ...]:
    """Count the rejected rows of a load by reason. Returns the `REASONS` most frequent reasons, in descending order."""
    rows = connection.execute(
        "SELECT reason, count(*) FROM ledger.rejected_rows WHERE load_id = %s GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT %s",
        [load_id, REASONS],
    )
    return tuple((str(reason), int(count)) for reason, count in rows)


def loads_of(connection: Connection, datasets: Sequence[str], partition: str | None) -> list[int]:
    """Return the ids of the current loads of some datasets, for one partition or for all partitions (None).

    The loads of a dataset without partitions belong to every partition.
    """
    rows = connection.execute(
        "SELECT load_id FROM ledger.loads WHERE dataset = ANY(%s) AND status = 'loaded'"
        " AND (%s::text IS NULL OR partition IN (%s, '')) ORDER BY load_id",
        [list(datasets), partition, partition],
    )
    return [int(row[0]) for row in rows]


def loads_between(connection: Connection, dataset: str, first: str, last: str) -> list[int]:
    """Return the ids of the current loads of a dataset for a range of partitions."""
    rows = connection.execute(
        "SELECT load_id FROM ledger.loads WHERE dataset = %s AND status = 'loaded' AND partition BETWEEN %s AND %s"
        " ORDER BY load_id",
        [dataset, first, last],
    )
    return [int(row[0]) for row in rows]


def find_builds(connection: Connection, entries: Mapping[str, str]) -> dict[str, tuple[str, int]]:
    """Return the fingerprint and the row count of the current builds of some tables, each for a partition."""
    rows = connection.execute(
        "SELECT table_name, fingerprint, row_count FROM ledger.builds"
        " JOIN unnest(%s::text[], %s::text[]) AS wanted (table_name, partition) USING (table_name, partition)",
        [list(entries), list(entries.values())],
    )
    return {str(name): (str(fingerprint), int(row_count)) for name, fingerprint, row_count in rows}


def write_build(
    connection: Connection,
    table: str,
    partition: str,
    fingerprint: str,
    row_count: int,
    flow_run_id: str | None,
    inputs: Mapping[str, str] | None = None,
    load_ids: Sequence[int] | None = None,
    snapshot_at: datetime | None = None,
) -> None:
    """Record a build, in the transaction that writes its rows.

    Args:
        connection: A connection in the transaction of the build.
        table: The table.
        partition: The partition. Empty for a table that is built as a whole.
        fingerprint: Identifies the inputs.
        row_count: Number of rows that were written.
        flow_run_id: The flow run of the build.
        inputs: A digest of each input, by name.
        load_ids: Loads whose rows the build read, directly or through other tables.
        snapshot_at: Time of the snapshot that the build of a history wrote.
    """
    connection.execute(
        "INSERT INTO ledger.builds (table_name, partition, fingerprint, row_count, flow_run_id, inputs,"
        " load_ids, snapshot_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (table_name, partition)"
        " DO UPDATE SET fingerprint = excluded.fingerprint, row_count = excluded.row_count,"
        " flow_run_id = excluded.flow_run_id,"
        " inputs = excluded.inputs, load_ids = excluded.load_ids, snapshot_at = excluded.snapshot_at,"
        " built_at = DEFAULT",
        [
            table,
            partition,
            fingerprint,
            row_count,
            flow_run_id,
            Jsonb(dict(inputs)) if inputs else None,
            load_ids,
            snapshot_at,
        ],
    )


def find_export(connection: Connection, export_id: str, name: str) -> tuple[str, ExportReceipt] | None:
    """Return the latest export with this name, and the fingerprint of its inputs."""
    row = connection.execute(
        "SELECT fingerprint, uri, source_version, row_count, size_bytes, sha256, as_of FROM ledger.exports"
        " WHERE export_id = %s AND name = %s ORDER BY entry_id DESC LIMIT 1",
        [export_id, name],
    ).fetchone()
    return (str(row[0]), ExportReceipt(name, row[1], "unchanged", *row[2:])) if row else None


def write_export(
    connection: Connection,
    export_id: str,
    receipt: ExportReceipt,
    fingerprint: str,
    flow_run_id: str | None,
    *,
    table: str | None = None,
    load_ids: Sequence[int] | None = None,
) -> None:
    """Record an export, after its object in S3 was verified.

    Args:
        connection: In the transaction of the export.
        export_id: Name of the export.
        receipt: The exported object.
        fingerprint: Digest of the content.
        flow_run_id: The flow run of the export.
        table: Exported table or query.
        load_ids: Loads whose rows the export holds, if it reads staging tables.
    """
    connection.execute(
        "INSERT INTO ledger.exports"
        " (export_id, name, uri, source_version, row_count, size_bytes, sha256, as_of, fingerprint, flow_run_id,"
        " table_name, load_ids) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [
            export_id,
            receipt.name,
            receipt.uri,
            receipt.source_version,
            receipt.row_count,
            receipt.size_bytes,
            receipt.sha256,
            receipt.as_of,
            fingerprint,
            flow_run_id,
            table,
            load_ids,
        ],
    )


def latest_exports(connection: Connection, export_id: str) -> list[ExportReceipt]:
    """Return the latest export of each name under an export id, in the order of the names."""
    rows = connection.execute(
        'SELECT DISTINCT ON (name COLLATE "C") name, uri, source_version, row_count, size_bytes, sha256, as_of'
        ' FROM ledger.exports WHERE export_id = %s ORDER BY name COLLATE "C", entry_id DESC',
        [export_id],
    )
    return [ExportReceipt(row[0], row[1], "exported", *row[2:]) for row in rows]
