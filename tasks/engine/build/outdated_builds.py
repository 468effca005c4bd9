"""Builds that the ledger must not call current any more, because a build with other SQL wrote the table after them.

The fingerprint of a build says what its rows were built from. A later build for another partition may change these
rows, and it leaves the entry of the earlier build. As long as the SQL is the new one, the fingerprint differs, and the
partition is due. If somebody restores the old SQL, the fingerprint would be equal again, although the rows are not.
"""

from collections.abc import Mapping

from psycopg.types.json import Jsonb

from tasks.engine.build.sql_files import SqlTable
from tasks.engine.warehouse.tables import Connection

# A build as a whole wrote the rows of all partitions, and a build of a partition changes the rows of a build as a
# whole. Neither reads the loads of the earlier entries. A history needs the loads of its last delivery.
_OF_ANOTHER_EXTENT = """
UPDATE ledger.builds
SET fingerprint = '', inputs = inputs - %(files)s::text[],
    load_ids = CASE WHEN snapshot_at IS NULL THEN '{}' ELSE load_ids END
WHERE table_name = %(table)s AND fingerprint <> '' AND
"""

# All current entries of a table have the SQL of its last build. So the other entries need no comparison.
_OF_OTHER_SQL = """
UPDATE ledger.builds SET fingerprint = '', inputs = inputs - %(files)s::text[]
WHERE table_name = %(table)s AND partition <> %(partition)s AND fingerprint <> '' AND NOT (
    SELECT coalesce(inputs @> %(sql)s, true) FROM ledger.builds
    WHERE table_name = %(table)s AND fingerprint <> '' ORDER BY built_at DESC LIMIT 1
)
"""


def mark_outdated_builds(connection: Connection, table: SqlTable, partition: str, inputs: Mapping[str, str]) -> None:
    """Mark the builds of a table whose rows this build changes with other SQL: their partitions become due.

    Call the function before the ledger records the build.

    Args:
        connection: In the transaction of the build.
        table: The table.
        partition: The ledger's partition of the build; empty for a table that is built as a whole.
        inputs: Digests of the inputs of the build, by name.
    """
    files = {name: digest for name, digest in inputs.items() if name.startswith("sql ")}
    values = {"table": table.name, "partition": partition, "files": [*files], "sql": Jsonb(files)}
    other = " partition = ''" if partition else " partition <> ''"
    connection.execute(_OF_ANOTHER_EXTENT + other, values)
    if table.disposition.kind != "replace":
        connection.execute(_OF_OTHER_SQL, values)
