"""Tables that were dropped outside of Tally: the ledger must not say any more that their rows exist."""

from collections.abc import Sequence

from psycopg import sql

from tasks.engine.errors import BalanceError
from tasks.engine.schema.desired import WantedObject
from tasks.engine.warehouse.tables import Connection, table_name


def forget_lost(connection: Connection, created: Sequence[WantedObject]) -> None:
    """Take back what the ledger says of tables that were just created, empty, in the transaction that created them.

    The loads of a staging table become `lost`: the next run loads the objects again, and the history stays. Builds and
    finished partitions of a built table are deleted, so that the next run builds them.
    """
    names = [each.name for each in created]
    datasets = [each.dataset for each in created if each.dataset]
    if "ledger.loads" in names:  # its numbers begin anew, so what was built from the old ones proves nothing
        connection.execute("DELETE FROM ledger.builds")
        connection.execute("DELETE FROM ledger.finished_partitions")
        connection.execute(
            sql.SQL("DELETE FROM ledger.applied_files WHERE path NOT LIKE 'ledger.%' AND path NOT LIKE 'sql/%'")
        )
        return
    if datasets:
        connection.execute(
            "UPDATE ledger.loads SET status = 'lost' WHERE dataset = ANY(%s) AND status = 'loaded'", [datasets]
        )
    schemas = [each.schema for each in created if each.dataset is None]
    if schemas:
        connection.execute("DELETE FROM ledger.builds WHERE table_name = ANY(%s)", [names])
        connection.execute("DELETE FROM ledger.finished_partitions WHERE schemas && %s::text[]", [schemas])


def check_known_rows(connection: Connection, unrecorded: Sequence[WantedObject]) -> None:
    """See that the ledger knows the loads of every row in staging tables that it has no record of.

    Raises:
        BalanceError: A table holds rows of a load that the ledger does not know: loading again would double them.
    """
    for each in unrecorded:
        if each.dataset is None:
            continue
        query = sql.SQL(
            "SELECT load_id, count(*) FROM {} WHERE load_id NOT IN (SELECT load_id FROM ledger.loads)"
            " GROUP BY 1 ORDER BY 1 LIMIT 1"
        ).format(table_name(each.name))
        if row := connection.execute(query).fetchone():
            raise BalanceError(
                f"{each.name}: expected only rows of loads that ledger.loads knows, found {row[1]:,} rows of load"
                f" {row[0]}, which it does not know: the ledger was dropped or emptied. A run would load these rows"
                f" twice. Restore the ledger, or run reset for dataset {each.dataset} and load it again"
            )
