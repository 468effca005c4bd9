"""Receipts: results that tasks pass to each other. They describe finished work and contain no data and no secrets."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Literal


@dataclass(frozen=True)
class ObjectRef:
    """One version of one object of the lake.

    Attributes:
        uri: `s3://bucket/key`.
        version: The ETag, which identifies the content. Every read is pinned to it.
        size_bytes: Size of the stored (possibly compressed) object.
        partition: The object's partition, such as `2021-04`. Empty for a dataset without partitions.
        modified_at: Time when the object was written, if it comes from a listing. Not compared.
    """

    uri: str
    version: str
    size_bytes: int
    partition: str
    modified_at: datetime | None = field(default=None, compare=False)

    @property
    def bucket(self) -> str:
        """Name of the bucket."""
        return self.uri.removeprefix("s3://").split("/")[0]


@dataclass(frozen=True)
class LoadReceipt:
    """The load of one object into its staging table.

    Attributes:
        status: `loaded`, `replaced` (the rows of an earlier version were removed), `unchanged` (already loaded) or
            `removed` (the lake does not hold the object any more, and its rows were deleted; all counts are 0).
        source_version: The ETag of the object.
        load_id: The entry in `ledger.loads`.
        rows_read: Number of records of the object: the sum of the next two counts. An `unchanged` receipt has the
            counts of the earlier load.
        rows_loaded: Number of records that became rows.
        rows_rejected: Number of records that became no row.
        seconds: Duration of the load.
        reasons: Number of rejected rows by reason.
        unknown_columns: Columns of the object that the contract does not declare.
        warnings: What is unusual about the object, such as far fewer rows than before.
    """

    dataset: str
    table: str
    partition: str
    source_uri: str
    source_version: str
    status: Literal["loaded", "replaced", "unchanged", "removed"]
    load_id: int
    rows_read: int
    rows_loaded: int
    rows_rejected: int
    seconds: float
    reasons: tuple[tuple[str, int], ...] = ()
    unknown_columns: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class CheckResult:
    """The result of one check in a `checks.sql`: the number of rows that fail it, and the first of these rows."""

    table: str
    name: str
    severity: Literal["fail", "warn"]
    broken_count: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class BuildReceipt:
    """The build of one table for one partition.

    Attributes:
        partition: The partition of the build.
        status: `built`, `unchanged` (already built from these inputs) or `kept` (another owner wrote the rows of this
            shared table, and they remain).
        row_count: Number of rows of the partition in the table. For a merged table, a history or an appended table:
            number of rows that the build inserted, changed and removed.
        seconds: Duration of the build and of the table's checks.
        warnings: Checks marked `warn` that found rows.
        loads: Ids of the loads from which the rows derive.
        fingerprint: Identifies the inputs of the rows. Empty for rows of another owner.
        is_whole: Whether each build writes the whole table, regardless of its partition.
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
    """The export of one file to the lake. The checksum was verified against the stored object.

    Attributes:
        name: Name of the file without its ending.
        status: `exported`, or `unchanged` (the lake already holds this content).
        source_version: The ETag of the object.
        row_count: Number of rows. 0 for an HTML page.
        size_bytes: Size of the file.
        sha256: SHA-256 of the file in hexadecimal digits.
        as_of: The date of the content. None if the content does not depend on a date.
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
    """The replay of one load's rejected rows.

    Attributes:
        replay_of: The load that rejected the rows.
        load_id: The replay's entry in `ledger.loads`. None if no row was loaded.
        rows_loaded: Number of rows that are now valid and loaded.
        rows_left: Number of rows that were rejected again.
        reasons: Number of rows that were rejected again, by reason.
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
    """The comparison of one history table with the keys in its source table.

    Attributes:
        checked_at: Time at which the keys were read from the source.
        key_count: Number of these keys.
        closed_count: Number of current versions that were closed because the source deleted their rows.
        waiting_count: Number of versions in the quarantine that were closed for the same reason.
        seconds: Duration of the comparison.
    """

    table: str
    checked_at: datetime
    key_count: int
    closed_count: int
    waiting_count: int
    seconds: float


@dataclass(frozen=True)
class SyncReceipt:
    """One run of a pipeline that copies the changes of a database into the warehouse.

    Attributes:
        is_full: Whether the run extracted all rows, and not only the changed rows.
        newest_change: Newest `last_updated` in the source, in the source's notation. Empty if the source has no rows.
        row_counts: Number of extracted rows by source table. Empty if nothing changed.
        loads: Loads of the extracted files.
        builds: Builds of the tables after staging.
        reopened: Number of closed versions that were reopened because their rows returned, by history table.
        arrival: The run that brought the newest change into the warehouse, and its end time. None if no run did.
    """

    run_number: int
    is_full: bool
    newest_change: str
    row_counts: tuple[tuple[str, int], ...]
    loads: tuple[LoadReceipt, ...]
    builds: tuple[BuildReceipt, ...]
    reopened: tuple[tuple[str, int], ...] = ()
    arrival: tuple[int, datetime] | None = None


FreshnessStatus = Literal["fresh", "stale", "no data yet", "unchecked"]


@dataclass(frozen=True)
class Freshness:
    """The comparison of one dataset or source with its deadline.

    Attributes:
        name: Name of the dataset or of the source.
        partition: The newest partition whose deadline has passed. Empty without partitions.
        status: `fresh`, `stale` (something expected is not in the warehouse), `no data yet` (nothing was ever
            delivered) or `unchecked` (the check failed).
        expected: The deadline, for people.
        found: What is in the warehouse or in the lake.
        next_step: What the operator does next. Empty if there is nothing to do.
        late_by: Time since the deadline. None if the status is not `stale`, and for a source.
        gaps: Earlier partitions that are missing between loaded partitions.
    """

    name: str
    partition: str
    status: FreshnessStatus
    expected: str
    found: str
    next_step: str = ""
    late_by: timedelta | None = None
    gaps: tuple[str, ...] = ()

    @property
    def needs_attention(self) -> bool:
        """Whether the dataset is stale or could not be checked."""
        return self.status in ("stale", "unchecked")


TopValues = list[tuple[str, int]]
"""Values with their counts, in descending order of the count. Values with equal counts are in code point order."""


@dataclass(frozen=True)
class Profile:
    """The profile of an object's content.

    Attributes:
        rows_read: Number of rows.
        rows_rejected: Number of rows that a load would reject.
        answers: The most frequent values for each question.
    """

    rows_read: int
    rows_rejected: int
    answers: dict[str, TopValues]
