"""Tables dropped outside of Tally: remove the record of their rows from the ledger."""

from collections.abc import Sequence

from psycopg import sql

from tasks.engine.errors import BalanceError
from tasks.engine.schema.desired import WantedObject
from tasks.engine.warehouse.tables import Connection, table_name


def forget_lost(connection: Connection, created: Sequence[WantedObject]) -> None:
    """Correct the ledger's entries of tables that this transaction created, which are empty.

    The loads of a staging table become `lost`: the next run loads the objects again, and the history remains. The
    function deletes the builds and finished partitions of a built table, so the next run builds them again.
    """
    names = [each.name for each in created]
    datasets = [each.dataset for each in created if each.dataset]
    if "ledger.loads" in names:  # load ids begin anew, so entries with old ids are meaningless
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
    schemas = [each.schema for each in created if each.dataset is None and not each.is_view]
    if schemas:
        connection.execute("DELETE FROM ledger.builds WHERE table_name = ANY(%s)", [names])
        connection.execute("DELETE FROM ledger.finished_partitions WHERE schemas && %s::text[]", [schemas])


def check_known_rows(connection: Connection, unrecorded: Sequence[WantedObject]) -> None:
    """Check that the ledger has the loads of all rows in staging tables without a record in the ledger.

    Raises:
        BalanceError: A table holds rows of an unknown load, and another load would double these rows.
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
                f"{each.name}: expected only rows of loads in ledger.loads, found {row[1]:,} rows of load"
                f" {row[0]}, which is not in ledger.loads: the ledger was dropped or emptied. A run would load these"
                f" rows twice. Restore the ledger, or run reset for dataset {each.dataset} and load it again"
            )
