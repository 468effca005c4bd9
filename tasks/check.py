"""Check that the row counts of the ledger and of the tables are equal."""

from collections.abc import Sequence

from prefect.logging import get_run_logger
from psycopg import sql

from tasks.alerts import send_balance_alert
from tasks.connections import open_warehouse
from tasks.contracts import Contract
from tasks.engine.errors import BalanceError, errors_at
from tasks.engine.receipts import LoadReceipt
from tasks.engine.warehouse.partitions import rows_of_partition
from tasks.engine.warehouse.tables import Connection
from tasks.policy import step


def count_rows(connection: Connection, contract: Contract, load: LoadReceipt) -> int:
    """Count the rows of one load in its staging table."""
    rows = rows_of_partition(contract, load.partition)
    row = connection.execute(
        sql.SQL("SELECT count(*) FROM {} AND load_id = %s").format(rows), [load.load_id]
    ).fetchone()
    return int(row[0]) if row else 0


def find_orphans(connection: Connection, contract: Contract, loads: Sequence[LoadReceipt]) -> list[str]:
    """Find loaded objects in the partitions of these loads that the lake does not hold any more."""
    rows = connection.execute(
        "SELECT source_uri FROM ledger.loads WHERE dataset = %s AND status = 'loaded' AND partition = ANY(%s)"
        " AND source_uri <> ALL(%s) ORDER BY source_uri",
        [contract.dataset, [load.partition for load in loads], [load.source_uri for load in loads]],
    )
    return [str(uri) for (uri,) in rows]


@step(task_run_name="Check the rows of {contract.dataset}")
def check_loads(contract: Contract, loads: Sequence[LoadReceipt]) -> None:
    """Count the rows of the loads in the staging table and compare the counts with the ledger.

    The step does not count unchanged loads again. It warns of loaded objects that the lake does not hold any more.

    Raises:
        BalanceError: A count differs.
    """
    logger = get_run_logger()
    with open_warehouse() as connection, errors_at(f"check of {contract.table}"):
        for load in loads:
            if load.status == "unchanged":
                continue
            found = count_rows(connection, contract, load)
            if found != load.rows_loaded or load.rows_read != load.rows_loaded + load.rows_rejected:
                finding = (
                    f"load {load.load_id} of {load.source_uri}: read {load.rows_read:,}, loaded {load.rows_loaded:,},"
                    f" rejected {load.rows_rejected:,}, but {load.table} holds {found:,} of its rows"
                )
                send_balance_alert(load, finding)
                raise BalanceError(f"{finding}. Another writer changed the table: run the partition again with force")
            logger.info("Load %d balances: %s rows in %s", load.load_id, f"{found:,}", load.table)
        for uri in find_orphans(connection, contract, loads):
            logger.warning("%s holds rows of %s, but the lake does not hold this object any more", contract.table, uri)
