"""The ledger's entries of partitions: the current loads, and the builds of the last complete run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg.types.json import Jsonb

from tasks.engine.warehouse.tables import Connection, has_table


@dataclass(frozen=True)
class LoadedObject:
    """One loaded object: its version, and the digest of its contract, which is None in entries of older versions."""

    version: str
    contract_digest: str | None


@dataclass(frozen=True)
class PartitionEntry:
    """The current loads of one partition, and its last complete run.

    An emptied partition has no current loads: its objects moved to other partitions, or a reset removed its rows.

    Attributes:
        partition: Name of the partition.
        load_ids: Ids of the loads, replays included.
        objects: The loaded objects, by URI.
        finished_ids: Ids of the loads in the run's tables; empty without a complete run.
        schemas: Schemas of the run's tables.
        sql_digest: Digest of the SQL of these schemas; None without a complete run.
        builds: Fingerprint of each table that the run built for the partition; None in entries of older versions.
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
    """Record that a run of a partition is complete.

    Args:
        connection: To the warehouse.
        dataset: Dataset of the partition.
        partition: Name of the partition.
        load_ids: Ids of the loads in the tables; loads of other datasets and partitions are ignored.
        schemas: Schemas of the tables.
        sql_digest: Digest of the SQL of these schemas.
        flow_run_id: Id of the flow run.
        builds: Fingerprint of each table that the run built for the partition.
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
    """Entries of the loaded and the emptied partitions of a range, both ends included; None means no bound.

    A partition whose loads were lost with their table is not emptied: its built tables keep their rows.
    """
    if not (has_table(connection, "ledger.loads") and has_table(connection, "ledger.finished_partitions")):
        return []
    rows = connection.execute(
        # A ledger of an older version lacks these columns, and a plan must not upgrade it: read them through JSON.
        "SELECT l.partition, array_agg(l.load_id ORDER BY l.load_id) FILTER (WHERE l.status = 'loaded'),"
        " jsonb_object_agg(l.source_uri, ARRAY[l.source_version, to_jsonb(l) ->> 'contract_digest'])"
        " FILTER (WHERE l.status = 'loaded' AND l.replay_of IS NULL),"
        " f.load_ids, f.schemas, f.sql_digest, to_jsonb(f) -> 'builds',"
        " coalesce(bool_or(l.rows_loaded > 0) FILTER (WHERE l.status = 'loaded'), false)"
        " FROM ledger.loads AS l LEFT JOIN ledger.finished_partitions AS f"
        " ON l.dataset = f.dataset AND l.partition = f.partition"
        " WHERE l.dataset = %s"
        ' AND (%s::text IS NULL OR l.partition COLLATE "C" >= %s)'
        ' AND (%s::text IS NULL OR l.partition COLLATE "C" <= %s)'
        " GROUP BY l.partition, f.*, f.load_ids, f.schemas, f.sql_digest"
        " HAVING bool_or(l.status = 'loaded') OR (array_agg(l.status ORDER BY l.load_id DESC))[1] <> 'lost'",
        [dataset, first, first, last, last],
    )
    return [
        PartitionEntry(
            partition,
            tuple(ids or ()),
            {uri: LoadedObject(*pair) for uri, pair in (objects or {}).items()},
            tuple(done or ()),
            tuple(schemas or ()),
            digest,
            builds,
            has_rows,
        )
        for partition, ids, objects, done, schemas, digest, builds, has_rows in rows
    ]
