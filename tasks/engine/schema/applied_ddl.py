"""The ledger's record of DDL: the checksum of each applied table, view and migration."""

from psycopg import sql

from tasks.engine.warehouse.tables import Connection


def applied_files(connection: Connection) -> dict[str, str]:
    """Checksums of the applied DDL, by address."""
    rows = connection.execute("SELECT path, sha256 FROM ledger.applied_files")
    return {str(path): str(digest) for path, digest in rows}


def write_applied(connection: Connection, path: str, digest: str) -> None:
    """Record applied DDL."""
    connection.execute(
        sql.SQL(
            "INSERT INTO ledger.applied_files (path, sha256) VALUES (%s, %s)"
            " ON CONFLICT (path) DO UPDATE SET sha256 = excluded.sha256, applied_at = DEFAULT"
        ),
        [path, digest],
    )
