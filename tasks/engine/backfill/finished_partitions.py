"""The ledger's entries of partitions: what is loaded of each, and what the last run that came to its end built."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg.types.json import Jsonb

from tasks.engine.warehouse.tables import Connection, has_table


@dataclass(frozen=True)
class LoadedObject:
    """One loaded object: its version, and the contract that made its rows; None in entries of older versions."""

    version: str
    contract_digest: str | None


@dataclass(frozen=True)
class PartitionEntry:
    """The current loads of one partition, and the last run of it that came to its end.

    Attributes:
        load_ids: Of the loads, replays included.
        objects: The loaded objects, by URI.
        finished_ids: Loads that the run's tables were built from; empty if no run came to its end.
        schemas: Of those tables.
        sql_digest: Names the SQL of those schemas; None if no run came to its end.
        builds: Fingerprint of each table that was built for the partition; None in entries of older versions.
        has_rows: Whether one of the loads loaded a row.
    """

    partition: str
    load_ids: tuple[int, ...]
    objects: Mapping[str, LoadedObject]
    finished_ids: tuple[int, ...]
    schemas: tuple[str, ...]
    sql_digest: str | None
    builds: Mapping[str, str] | None = None
    has_rows: bool = False


def write_finished(
    connection: Connection,
    dataset: str,
    partition: str,
    load_ids: Sequence[int],
    schemas: Sequence[str],
    sql_digest: str,
    flow_run_id: str | None,
    builds: Mapping[str, str] | None = None,
) -> None:
    """Enter that a run of a partition came to its end.

    Args:
        connection: To the warehouse.
        dataset: The dataset whose partition it is.
        partition: The partition.
        load_ids: Loads that the tables were built from; those of other datasets and partitions are left out.
        schemas: Schemas of the tables.
        sql_digest: Names their SQL.
        flow_run_id: The run.
        builds: Fingerprint of each table that was built for the partition.
    """
    connection.execute(
        "INSERT INTO ledger.finished_partitions"
        " (dataset, partition, load_ids, schemas, sql_digest, flow_run_id, builds)"
        " SELECT %s, %s, coalesce(array_agg(load_id ORDER BY load_id), '{}'), %s, %s, %s, %s FROM ledger.loads"
        " WHERE load_id = ANY(%s) AND dataset = %s AND partition = %s"
        " ON CONFLICT (dataset, partition) DO UPDATE SET load_ids = excluded.load_ids, schemas = excluded.schemas,"
        " sql_digest = excluded.sql_digest, flow_run_id = excluded.flow_run_id, finished_at = DEFAULT,"
        " builds = excluded.builds",
        [
            dataset,
            partition,
            list(schemas),
            sql_digest,
            flow_run_id,
            None if builds is None else Jsonb(dict(builds)),
            list(load_ids),
            dataset,
            partition,
        ],
    )


def loaded_partitions(
    connection: Connection, dataset: str, first: str | None, last: str | None
) -> list[PartitionEntry]:
    """Entries of the loaded partitions from one to another, both included; None is no bound."""
    if not (has_table(connection, "ledger.loads") and has_table(connection, "ledger.finished_partitions")):
        return []
    rows = connection.execute(
        # By JSON what a ledger that was not upgraded yet does not have: a plan changes nothing.
        "SELECT l.partition, array_agg(l.load_id ORDER BY l.load_id),"
        " jsonb_object_agg(l.source_uri, ARRAY[l.source_version, to_jsonb(l) ->> 'contract_digest'])"
        " FILTER (WHERE l.replay_of IS NULL),"
        " f.load_ids, f.schemas, f.sql_digest, to_jsonb(f) -> 'builds',"
        " bool_or(l.rows_loaded > 0)"
        " FROM ledger.loads AS l LEFT JOIN ledger.finished_partitions AS f"
        " ON l.dataset = f.dataset AND l.partition = f.partition"
        " WHERE l.dataset = %s AND l.status = 'loaded'"
        ' AND (%s::text IS NULL OR l.partition COLLATE "C" >= %s)'
        ' AND (%s::text IS NULL OR l.partition COLLATE "C" <= %s)'
        " GROUP BY l.partition, f.*, f.load_ids, f.schemas, f.sql_digest",
        [dataset, first, first, last, last],
    )
    return [
        PartitionEntry(
            partition,
            tuple(ids),
            {uri: LoadedObject(*pair) for uri, pair in (objects or {}).items()},
            tuple(done or ()),
            tuple(schemas or ()),
            digest,
            builds,
            has_rows,
        )
        for partition, ids, objects, done, schemas, digest, builds, has_rows in rows
    ]
