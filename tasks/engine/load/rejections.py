"""Rejected rows after their load: counts them, reads them for a replay, and resolves them."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tasks.engine.masking import shown_datasets
from tasks.engine.warehouse.tables import Connection

REPLAYED_TOGETHER, REPLAYED_BYTES = 1000, 1 << 20
"""Maximum number of rows in one step of a replay, and the size after which no further row is added to the step."""

EXAMPLES, EXAMPLE_BYTES = 3, 80


@dataclass(frozen=True)
class RejectedLoad:
    """A current load with open rejected rows. A rejected row is open until a replay loads it.

    Attributes:
        columns: Names of the object's columns at the time of the load, in their order.
    """

    load_id: int
    partition: str
    source_uri: str
    source_version: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Rejection:
    """The rejected rows with the same reason.

    Attributes:
        row_count: Number of rows.
        open_count: Number of these rows that no replay has loaded.
        examples: Loads, line numbers and first bytes of some rows. Open rows come first. The bytes of a dataset with
            sensitive columns are None.
    """

    reason: str
    row_count: int
    open_count: int
    examples: tuple[tuple[int, int, bytes | None], ...]


def rejected_loads(connection: Connection, dataset: str, partition: str | None) -> list[RejectedLoad]:
    """Return the loads with open rejected rows, of one partition or of all partitions (None), earliest first."""
    rows = connection.execute(
        "SELECT load_id, partition, source_uri, source_version, coalesce(columns, '{}') FROM ledger.loads"
        " WHERE dataset = %s AND status = 'loaded' AND (%s::text IS NULL OR partition = %s) AND EXISTS"
        " (SELECT FROM ledger.rejected_rows r WHERE r.load_id = loads.load_id AND r.resolved_by IS NULL)"
        " ORDER BY load_id",
        [dataset, partition, partition],
    )
    return [RejectedLoad(row[0], row[1], row[2], row[3], tuple(row[4])) for row in rows]


def open_rows(connection: Connection, load_id: int) -> Iterator[list[tuple[int, int, bytes]]]:
    """Yield the ids, line numbers and bytes of a load's open rejected rows, in groups of bounded size."""
    last = 0
    while True:
        sizes = connection.execute(
            "SELECT rejected_row_id, octet_length(raw) FROM ledger.rejected_rows"
            " WHERE load_id = %s AND resolved_by IS NULL AND rejected_row_id > %s ORDER BY rejected_row_id LIMIT %s",
            [load_id, last, REPLAYED_TOGETHER],
        ).fetchall()
        if not sizes:
            return
        total = itertools.accumulate(size for _, size in sizes)
        together = 1 + sum(size < REPLAYED_BYTES for size in itertools.islice(total, len(sizes) - 1))
        last = sizes[together - 1][0]
        yield connection.execute(
            "SELECT rejected_row_id, line_number, raw FROM ledger.rejected_rows WHERE rejected_row_id = ANY(%s)"
            " ORDER BY rejected_row_id",
            [[row_id for row_id, _ in sizes[:together]]],
        ).fetchall()


def resolve(connection: Connection, row_ids: Sequence[int], load_id: int) -> int:
    """Mark rejected rows as resolved by a load, in its transaction. Return the number of resolved rows."""
    return connection.execute(
        "UPDATE ledger.rejected_rows SET resolved_by = %s WHERE rejected_row_id = ANY(%s) AND resolved_by IS NULL",
        [load_id, list(row_ids)],
    ).rowcount


def open_replay(connection: Connection, dataset: str, load: RejectedLoad, flow_run_id: str | None) -> int:
    """Add a replay of a load's rejected rows, in the transaction that writes the rows."""
    row = connection.execute(
        "INSERT INTO ledger.loads"
        " (dataset, partition, source_uri, source_version, size_bytes, columns, replay_of, flow_run_id)"
        " VALUES (%s, %s, %s, %s, 0, %s, %s, %s) RETURNING load_id",
        [
            dataset,
            load.partition,
            load.source_uri,
            load.source_version,
            list(load.columns) or None,
            load.load_id,
            flow_run_id,
        ],
    ).fetchone()
    return int(row[0]) if row else 0


def count_rejections(connection: Connection, load_ids: Sequence[int]) -> list[Rejection]:
    """Count the rejected rows of some loads by reason, with examples, the most frequent reason first."""
    rows = connection.execute(
        "WITH ranked AS ("
        " SELECT reason, resolved_by, load_id, line_number,"
        " CASE WHEN dataset = ANY(%(shown)s) THEN substring(raw FROM 1 FOR %(bytes)s) END AS beginning,"
        " row_number() OVER (PARTITION BY reason ORDER BY resolved_by IS NOT NULL, load_id, rejected_row_id) AS place"
        " FROM ledger.rejected_rows JOIN ledger.loads USING (load_id) WHERE load_id = ANY(%(loads)s)"
        ") SELECT reason, count(*), count(*) FILTER (WHERE resolved_by IS NULL),"
        " array_agg(load_id ORDER BY place) FILTER (WHERE place <= %(examples)s),"
        " array_agg(line_number ORDER BY place) FILTER (WHERE place <= %(examples)s),"
        " array_agg(beginning ORDER BY place) FILTER (WHERE place <= %(examples)s)"
        ' FROM ranked GROUP BY reason ORDER BY 2 DESC, reason COLLATE "C"',
        {"examples": EXAMPLES, "bytes": EXAMPLE_BYTES, "loads": list(load_ids), "shown": shown_datasets()},
    )
    return [Rejection(row[0], row[1], row[2], tuple(zip(row[3], row[4], row[5], strict=True))) for row in rows]
