"""Receipts: what tasks hand to each other. Facts about work done, never data, connections or secrets."""

from dataclasses import dataclass
from datetime import date
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
        status: `built`, `unchanged` (no work) or `kept` (a shared table with the rows of others, which stay).
    """

    table: str
    partition: str
    status: Literal["built", "unchanged", "kept"]
    row_count: int
    seconds: float
    warnings: tuple[CheckResult, ...] = ()


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
