"""The facts of the status page, read from the views of the ledger in one snapshot. No fact contains a rejected row."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Literal, TypeVar

from psycopg import sql
from psycopg.rows import class_row

from tasks.engine.warehouse.tables import Connection

MOST_REJECTIONS = 100
"""Maximum number of groups of open rejected rows."""

RECENT_LOADS = 30
"""Number of loads in the chart of a dataset without partitions."""

Row = TypeVar("Row")
State = Literal["failed", "running", "lost", "missing", "rejected", "loaded"]


@dataclass(frozen=True)
class DatasetFacts:
    """One dataset; the fields are columns of `ledger.dataset_status`."""

    dataset: str
    pipeline: str | None
    is_active: bool
    partition_unit: str | None
    newest_partition: str | None
    partitions_loaded: int
    partitions_missing: int
    partitions_running: int
    row_count: int
    rows_rejected: int
    rows_unresolved: int
    last_success_at: datetime | None
    bytes_per_second: float | None
    rows_per_second: float | None


@dataclass(frozen=True)
class PartitionFacts:
    """One partition; the fields are columns of `ledger.partition_status`. The error message is not among them."""

    dataset: str
    partition: str
    state: State
    rows_read: int
    rows_rejected: int
    rows_unresolved: int
    restatement_count: int
    failed_at: datetime | None
    failed_attempt_id: int | None
    failed_uri: str | None
    error_class: str | None
    error_message: str | None


@dataclass(frozen=True)
class DueFacts:
    """A partition whose deadline has passed; the fields are columns of `ledger.freshness`."""

    dataset: str
    partition: str
    expected_by: datetime
    loaded_at: datetime | None
    finished_at: datetime | None
    is_newest_due: bool
    is_late: bool


@dataclass(frozen=True)
class RejectionFacts:
    """Open rejected rows with one reason; the fields are columns of `ledger.open_rejections`."""

    dataset: str
    partition: str
    column_name: str | None
    reason_code: str
    reason: str
    row_count: int
    since: datetime
    example_uri: str
    example_lines: list[int]


@dataclass(frozen=True)
class RecentLoad:
    """A load of a dataset without partitions, for its chart."""

    dataset: str
    started_at: datetime
    rows_read: int
    rows_rejected: int


@dataclass(frozen=True)
class Schedule:
    """A deployment on the Prefect server.

    Attributes:
        name: `flow/deployment`.
        next_run: Time of the next scheduled run. None: no run is scheduled.
        last_state: Name of the state of the last run that ended; empty if there is none.
        last_end: When that run ended.
        is_failed: Whether that run failed or crashed.
        is_paused: Whether the deployment is paused.
        last_message: Message of the state of that run.
    """

    name: str
    next_run: datetime | None = None
    last_state: str = ""
    last_end: datetime | None = None
    is_failed: bool = False
    is_paused: bool = False
    last_message: str = ""


@dataclass(frozen=True)
class Facts:
    """Everything that the status page shows.

    Attributes:
        moment: When the facts were read.
        schedules: Deployments of the Prefect server. None: the server could not be reached.
    """

    moment: datetime
    datasets: Sequence[DatasetFacts] = ()
    partitions: Sequence[PartitionFacts] = ()
    due: Sequence[DueFacts] = ()
    rejections: Sequence[RejectionFacts] = ()
    recent: Sequence[RecentLoad] = ()
    schedules: Sequence[Schedule] | None = None


def read_facts(connection: Connection, schedules: Sequence[Schedule] | None) -> Facts:
    """Read the facts of all datasets.

    Args:
        connection: Outside a transaction, to a warehouse with the ledger.
        schedules: Deployments of the Prefect server. None: the server could not be reached.
    """
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        ((moment,),) = connection.execute("SELECT now()").fetchall()
        return Facts(
            moment,
            _rows(connection, DatasetFacts, _DATASETS),
            _rows(connection, PartitionFacts, _PARTITIONS),
            _rows(connection, DueFacts, _DUE),
            _rows(connection, RejectionFacts, _REJECTIONS),
            _rows(connection, RecentLoad, _RECENT),
            schedules,
        )


_DATASETS = sql.SQL("ledger.dataset_status ORDER BY pipeline NULLS LAST, dataset")
_PARTITIONS = sql.SQL("ledger.partition_status ORDER BY dataset, partition")
_DUE = sql.SQL(
    "(SELECT *, late_by IS NOT NULL AS is_late FROM ledger.freshness"
    " WHERE expected_by <= now() AND (loaded_at IS NULL OR is_newest_due)) AS due ORDER BY dataset, partition"
)
_REJECTIONS = sql.SQL("ledger.open_rejections ORDER BY row_count DESC, dataset, partition, reason LIMIT {}").format(
    MOST_REJECTIONS
)
_RECENT = sql.SQL(
    "(SELECT *, row_number() OVER (PARTITION BY dataset ORDER BY started_at DESC) AS place FROM ledger.load_history"
    " WHERE partition = '' AND kind = 'load' AND status = 'loaded') AS loads WHERE place <= {}"
    " ORDER BY dataset, started_at"
).format(RECENT_LOADS)


def _rows(connection: Connection, kind: type[Row], source: sql.Composable) -> list[Row]:
    names = [sql.Identifier(each.name) for each in fields(kind)]  # type: ignore[arg-type]
    columns = sql.SQL(", ").join(names)
    with connection.cursor(row_factory=class_row(kind)) as cursor:
        return cursor.execute(sql.SQL("SELECT {} FROM {}").format(columns, source)).fetchall()
