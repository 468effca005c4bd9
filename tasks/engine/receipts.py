"""Receipts: what tasks hand to each other. Facts about work done, never data, connections or secrets."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal


@dataclass(frozen=True)
class ObjectRef:
    """One version of one object of the lake.

    Attributes:
        uri: `s3://bucket/key`.
        version: The ETag, which names the content; every read is pinned to it.
        size_bytes: Size of the object as stored.
        partition: The partition that it belongs to, such as `2021-04`; empty where a dataset has none.
    """

    uri: str
    version: str
    size_bytes: int
    partition: str

    @property
    def bucket(self) -> str:
        """Where it is."""
        return self.uri.removeprefix("s3://").split("/")[0]


@dataclass(frozen=True)
class LoadReceipt:
    """One object in its staging table.

    Attributes:
        status: `loaded`, `replaced` (an earlier content of the same object was taken out) or `unchanged` (no work).
        load_id: The entry of `ledger.loads`.
        seconds: Wall time of this run's work.
        reasons: Count of rejected rows by reason.
        unknown_columns: Columns that the object brought and the contract does not know.
    """

    dataset: str
    table: str
    partition: str
    source_uri: str
    source_version: str
    status: Literal["loaded", "replaced", "unchanged"]
    load_id: int
    rows_read: int
    rows_loaded: int
    rows_rejected: int
    seconds: float
    reasons: tuple[tuple[str, int], ...] = ()
    unknown_columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class CheckResult:
    """One assertion of a `checks.sql`: how many rows broke it, and the first of them."""

    table: str
    name: str
    severity: Literal["fail", "warn"]
    broken_count: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class BuildReceipt:
    """One table brought up to date for one partition.

    Attributes:
        partition: The partition that the build was for.
        status: `built`, `unchanged` (no work) or `kept` (a shared table with the rows of others, which stay).
        row_count: Rows that the table holds of the partition; of one that is merged or appended, rows that the build
            wrote: inserted, changed and removed.
        loads: Ids of the loads that the rows derive from.
        fingerprint: Names the inputs that the rows were built from; empty for rows of others.
        is_whole: Whether each build writes the whole table, whichever partition it is for.
    """

    table: str
    partition: str
    status: Literal["built", "unchanged", "kept"]
    row_count: int
    seconds: float
    warnings: tuple[CheckResult, ...] = ()
    loads: tuple[int, ...] = ()
    fingerprint: str = ""
    is_whole: bool = False


@dataclass(frozen=True)
class ExportReceipt:
    """One file in the lake, verified against what S3 holds.

    Attributes:
        as_of: The day that the content is as of; None where it is of no day.
    """

    name: str
    uri: str
    status: Literal["exported", "unchanged"]
    source_version: str
    row_count: int
    size_bytes: int
    sha256: str
    as_of: date | None = None


@dataclass(frozen=True)
class ReplayReceipt:
    """The rejected rows of one load, once more through the contract.

    Attributes:
        replay_of: The load that they were rejected by.
        load_id: The entry of `ledger.loads` that took some of them; None where none was taken.
        rows_loaded: Those that were taken.
        rows_left: Those that were rejected again.
        reasons: Count of those by reason.
    """

    dataset: str
    partition: str
    source_uri: str
    replay_of: int
    load_id: int | None
    rows_loaded: int
    rows_left: int
    reasons: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class DeletionReceipt:
    """One history, compared with the keys that its source has.

    Attributes:
        checked_at: When the source had these keys.
        key_count: How many they were.
        closed_count: Current versions whose row is gone, and which were closed.
        waiting_count: Versions in the quarantine of which the same is true.
    """

    table: str
    checked_at: datetime
    key_count: int
    closed_count: int
    waiting_count: int
    seconds: float


@dataclass(frozen=True)
class SyncReceipt:
    """One run of a pipeline that copies what changed in a database, now in the warehouse.

    Attributes:
        is_full: Whether everything was extracted, not only what changed.
        newest_change: Newest `last_updated` of the source, as it writes it; empty where it has no row.
        row_counts: Rows that were extracted, by table of the source; none where nothing changed.
        loads: Of their files.
        builds: Of the tables after staging.
        reopened: Versions whose rows had been gone from the source and returned, by history.
        arrival: The run that brought the newest change to the warehouse, and when it ended; None where no run did.
    """

    run_number: int
    is_full: bool
    newest_change: str
    row_counts: tuple[tuple[str, int], ...]
    loads: tuple[LoadReceipt, ...]
    builds: tuple[BuildReceipt, ...]
    reopened: tuple[tuple[str, int], ...] = ()
    arrival: tuple[int, datetime] | None = None


@dataclass(frozen=True)
class Freshness:
    """Whether the warehouse shows what the source does.

    Attributes:
        as_of: When that was asked.
        run_number: The last run that came to the warehouse; None where none did.
        in_warehouse: Newest change that it brought.
        overdue: Newest change of the source that should be in the warehouse by then; later than `in_warehouse` where it
            is not.
    """

    as_of: datetime
    run_number: int | None
    in_warehouse: str
    overdue: str

    @property
    def is_stale(self) -> bool:
        """Whether a change is overdue."""
        return self.overdue > self.in_warehouse


TopValues = list[tuple[str, int]]
"""Values with their counts, the greatest count first, ties by value ascending by code point."""


@dataclass(frozen=True)
class Profile:
    """What an object holds.

    Attributes:
        rows_read: All of its rows.
        rows_rejected: Those that a load would reject.
        answers: To each question its most frequent values.
    """

    rows_read: int
    rows_rejected: int
    answers: dict[str, TopValues]
