"""The log lines and the alerts about loaded objects."""

from prefect.logging import get_run_logger

from tasks.alerts import send_load_alerts
from tasks.contracts import Contract
from tasks.engine.quoting import quoted
from tasks.engine.receipts import LoadReceipt
from tasks.engine.settings import RunSettings

LINES = 50
"""Maximum number of log lines about objects, reasons, and unknown columns."""


def report_load(contract: Contract, receipt: LoadReceipt, settings: RunSettings) -> None:
    """Log a load, and send the alerts about it."""
    logger = get_run_logger()
    if receipt.status == "unchanged":
        log_unchanged(receipt)
        return
    if receipt.status == "removed":
        logger.warning(receipt.warnings[0])
        return
    logger.info(
        "%s %s into %s: read %s rows = loaded %s + rejected %s in %.1f s (%s rows/s), load %d",
        "Replaced" if receipt.status == "replaced" else "Loaded",
        receipt.source_uri,
        receipt.table,
        f"{receipt.rows_read:,}",
        f"{receipt.rows_loaded:,}",
        f"{receipt.rows_rejected:,}",
        receipt.seconds,
        f"{receipt.rows_read / max(receipt.seconds, 1e-9):,.0f}",
        receipt.load_id,
    )
    for reason, count in receipt.reasons[:LINES]:
        logger.warning(
            "Rejected %s row%s: %s (see ledger.rejected_rows, load %d)",
            f"{count:,}",
            "" if count == 1 else "s",
            reason,
            receipt.load_id,
        )
    log_rest(len(receipt.reasons), "reasons for rejected rows")
    for column in receipt.unknown_columns[:LINES]:
        kept = f"kept in {contract.unknown_keys_column}" if contract.unknown_keys_column else "not loaded"
        logger.warning("%s has an unknown column %s; the column was %s", receipt.source_uri, quoted(column), kept)
    log_rest(len(receipt.unknown_columns), "unknown columns")
    for warning in receipt.warnings:
        logger.warning(warning)
    send_load_alerts(contract, receipt, settings)


def log_unchanged(receipt: LoadReceipt) -> None:
    """Log that an object is already loaded."""
    get_run_logger().info(
        "%s is already in %s with this content (load %d): skipped",
        receipt.source_uri,
        receipt.table,
        receipt.load_id,
    )


def log_rest(count: int, what: str) -> None:
    """Log how many things are not shown, if there are more than `LINES`."""
    if count > LINES:
        get_run_logger().warning("%s more %s are not shown", f"{count - LINES:,}", what)
