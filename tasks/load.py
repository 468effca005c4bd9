"""Load objects into their staging tables."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from prefect.logging import get_run_logger

from tasks.alerts import tell_load
from tasks.check import check_loads
from tasks.connections import bucket_of, flow_run_id, open_lake, open_warehouse, run_settings, warehouse_slot
from tasks.contracts import Contract
from tasks.engine import ledger
from tasks.engine.errors import errors_at
from tasks.engine.load.delivery import known_loads, load_delivery, removed_loads
from tasks.engine.load.loader import load_object as load
from tasks.engine.quoting import quoted
from tasks.engine.receipts import LoadReceipt, ObjectRef
from tasks.engine.settings import RunSettings
from tasks.extract import delivery_of, list_objects
from tasks.policy import step
from tasks.prefect_texts import show_progress, start_progress

LINES = 50
"""Maximum number of log lines about reasons, and about unknown columns."""

PROGRESS_AFTER = 5.0
"""Seconds until a load first shows its progress, and between two updates."""


class _Progress:
    """Shows the progress of a long load in the log and in an artifact."""

    def __init__(self, source: ObjectRef) -> None:
        self._source = source
        self._shown_at = time.monotonic()
        self._artifact: UUID | None = None

    def __call__(self, bytes_read: int, rows_read: int) -> None:
        if time.monotonic() - self._shown_at < PROGRESS_AFTER:
            return
        self._shown_at = time.monotonic()
        self._show(100.0 * min(bytes_read / max(self._source.size_bytes, 1), 1.0), rows_read)

    def finish(self, rows_read: int) -> None:
        if self._artifact:
            self._show(100.0, rows_read)

    def _show(self, percent: float, rows_read: int) -> None:
        text = f"{self._source.uri}: {rows_read:,} rows read, {percent:.0f} %"
        get_run_logger().info(text)
        if self._artifact:
            show_progress(self._artifact, percent, text)
        else:
            self._artifact = start_progress(percent, text)


@dataclass(frozen=True)
class Changes:
    """The comparison of a listing with the ledger.

    Attributes:
        known: Receipts of the objects that are already loaded in this version, by address.
        removed: Addresses of loaded objects that the supplier removed.
    """

    known: dict[str, LoadReceipt]
    removed: tuple[str, ...]


def load_datasets(contracts: Iterable[Contract], partition: str = "", *, force: bool = False) -> list[LoadReceipt]:
    """Load the objects of some datasets as `load_objects`, after the objects of all of them were found.

    Args:
        contracts: Contracts of the datasets.
        partition: Name of the partition; a dataset without partitions ignores it.
        force: As `load_objects`.
    """
    names = [(contract, partition if contract.partition else "") for contract in contracts]
    listed = [(contract, name, list_objects(contract, name)) for contract, name in names]
    return [load for contract, name, sources in listed for load in _load(contract, name, sources, force=force)]


def load_objects(contract: Contract, partition: str = "", *, force: bool = False) -> list[LoadReceipt]:
    """Bring the rows of a partition, or of a dataset without partitions, to what the lake holds, and check them.

    New and changed objects are loaded, each exactly once. If the supplier removed objects from the partition, one
    transaction loads the others and deletes the rows of the removed objects. A partition without any object in the
    lake keeps its rows.

    Args:
        contract: Contract of the staging table.
        partition: Name of the partition; empty for a dataset without partitions.
        force: Load the objects again even if they are loaded, and allow fewer rows, or none, to replace rows.
    """
    return _load(contract, partition, list_objects(contract, partition), force=force)


def _load(contract: Contract, partition: str, sources: Sequence[ObjectRef], *, force: bool) -> list[LoadReceipt]:
    changes = Changes({}, ())
    if sources and (contract.partition or contract.is_appended):
        changes = list_changes(contract, partition, sources, force=force)
    if changes.removed:
        loads = replace_objects(contract, partition, force=force)
    else:
        loads = [changes.known.get(each.uri) or load_object(contract, each, force=force) for each in sources]
    check_loads(contract, loads)
    return loads


@step(task_run_name="List changes of {contract.dataset} {partition}")
def list_changes(contract: Contract, partition: str, sources: Sequence[ObjectRef], *, force: bool = False) -> Changes:
    """Compare the objects of a partition with the ledger.

    Args:
        contract: Contract of the staging table.
        partition: Name of the partition; empty for a dataset without partitions.
        sources: The listed objects.
        force: Count no object as already loaded.
    """
    logger = get_run_logger()
    with open_warehouse() as connection, errors_at("ledger.loads"):
        # The load of a single object compares it with the ledger itself.
        known = known_loads(connection, contract, partition, sources) if len(sources) > 1 and not force else []
        missing = ledger.current_loads(connection, contract.dataset, partition).keys() - {x.uri for x in sources}
        removed: list[str] = []
        if missing and contract.partition:
            with open_lake(bucket_of(contract)) as lake:
                delivery = delivery_of(lake, contract, partition)
            removed = [x.source_uri for x in removed_loads(connection, contract, partition, delivery)]
    for receipt in known[:LINES]:
        _log_unchanged(receipt)
    _log_rest(len(known), "objects that are already loaded")
    for uri in removed[:LINES]:
        logger.warning("%s was loaded, but the supplier removed it from %s: its rows will be deleted", uri, partition)
    _log_rest(len(removed), "removed objects")
    return Changes({receipt.source_uri: receipt for receipt in known}, tuple(removed))


@step(task_run_name="Replace objects of {contract.dataset} {partition}")
def replace_objects(contract: Contract, partition: str, *, force: bool = False) -> list[LoadReceipt]:
    """Load a corrected delivery: in one transaction, load its objects and delete the rows of removed objects.

    Args:
        contract: Contract of the staging table.
        partition: Name of the partition.
        force: Load the objects again even if they are loaded, and allow fewer rows, or none, to replace rows.
    """
    settings = run_settings()
    with warehouse_slot(), open_warehouse() as connection, open_lake(bucket_of(contract)) as lake:
        receipts = load_delivery(
            connection,
            lake,
            contract,
            partition,
            lambda: delivery_of(lake, contract, partition),
            settings,
            reconnect=open_warehouse,
            force=force,
            flow_run_id=flow_run_id(),
            on_progress=_Progress,
        )
    for receipt in receipts:
        _report_load(contract, receipt, settings)
    return receipts


@step(task_run_name="Load {contract.dataset} {source.partition}")
def load_object(contract: Contract, source: ObjectRef, *, force: bool = False) -> LoadReceipt:
    """Load one object exactly once. A version that is already loaded is skipped.

    Args:
        contract: Contract of the staging table.
        source: Object and version to load.
        force: Load the object again even if this version is loaded, and allow fewer rows, or none, to replace rows.
    """
    progress = _Progress(source)
    settings = run_settings()
    with warehouse_slot(), open_warehouse() as connection, open_lake(source.bucket) as lake:
        receipt = load(
            connection,
            lake,
            contract,
            # The latest version: the object may have been replaced since the listing, or since an earlier try.
            lake.latest(source),
            settings,
            force=force,
            flow_run_id=flow_run_id(),
            on_progress=progress,
            reconnect=open_warehouse,
        )
    progress.finish(receipt.rows_read)
    _report_load(contract, receipt, settings)
    return receipt


def _report_load(contract: Contract, receipt: LoadReceipt, settings: RunSettings) -> None:
    """Log a load, and send the alerts about it."""
    logger = get_run_logger()
    if receipt.status == "unchanged":
        _log_unchanged(receipt)
        return
    if receipt.status == "removed":
        logger.warning(receipt.warnings[0])
        return
    logger.info(
        "%s %s: read %s rows = loaded %s + rejected %s into %s in %.1f s (%s rows/s), load %d",
        "Replaced" if receipt.status == "replaced" else "Loaded",
        receipt.source_uri,
        f"{receipt.rows_read:,}",
        f"{receipt.rows_loaded:,}",
        f"{receipt.rows_rejected:,}",
        receipt.table,
        receipt.seconds,
        f"{receipt.rows_read / max(receipt.seconds, 1e-9):,.0f}",
        receipt.load_id,
    )
    for reason, count in receipt.reasons[:LINES]:
        logger.warning(
            "Rejected %s rows: %s (see ledger.rejected_rows, load %d)", f"{count:,}", reason, receipt.load_id
        )
    _log_rest(len(receipt.reasons), "reasons for rejected rows")
    for column in receipt.unknown_columns[:LINES]:
        kept = f"kept in {contract.unknown_keys_column}" if contract.unknown_keys_column else "not loaded"
        logger.warning("%s has an unknown column %s; the column was %s", receipt.source_uri, quoted(column), kept)
    _log_rest(len(receipt.unknown_columns), "unknown columns")
    for warning in receipt.warnings:
        logger.warning(warning)
    tell_load(contract, receipt, settings)


def _log_unchanged(receipt: LoadReceipt) -> None:
    get_run_logger().info(
        "%s is already in %s with this content (load %d): skipped",
        receipt.source_uri,
        receipt.table,
        receipt.load_id,
    )


def _log_rest(count: int, what: str) -> None:
    if count > LINES:
        get_run_logger().warning("%s more %s are not shown", f"{count - LINES:,}", what)
