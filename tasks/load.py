"""Load objects into their staging tables."""

import time
from uuid import UUID

from prefect.logging import get_run_logger

from tasks.alerts import tell_load
from tasks.connections import flow_run_id, open_lake, open_warehouse, run_settings, warehouse_slot
from tasks.contracts import Contract
from tasks.engine.load.loader import load_object as load
from tasks.engine.quoting import quoted
from tasks.engine.receipts import LoadReceipt, ObjectRef
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


@step(task_run_name="Load {contract.dataset} {source.partition}")
def load_object(contract: Contract, source: ObjectRef, *, force: bool = False) -> LoadReceipt:
    """Load one object exactly once. A version that is already loaded is skipped.

    Args:
        contract: Contract of the staging table.
        source: Object and version to load.
        force: Load the object again even if this version is loaded, and allow fewer rows, or none, to replace rows.
    """
    logger = get_run_logger()
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
    if receipt.status == "unchanged":
        logger.info(
            "%s is already in %s with this content (load %d): skipped", source.uri, receipt.table, receipt.load_id
        )
        return receipt
    logger.info(
        "%s %s: read %s rows = loaded %s + rejected %s into %s in %.1f s (%s rows/s), load %d",
        "Replaced" if receipt.status == "replaced" else "Loaded",
        source.uri,
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
        logger.warning("%s has an unknown column %s; the column was %s", source.uri, quoted(column), kept)
    _log_rest(len(receipt.unknown_columns), "unknown columns")
    for warning in receipt.warnings:
        logger.warning(warning)
    tell_load(contract, receipt, settings)
    return receipt


def _log_rest(count: int, what: str) -> None:
    if count > LINES:
        get_run_logger().warning("%s more %s are not shown", f"{count - LINES:,}", what)
