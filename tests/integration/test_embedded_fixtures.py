from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, LiteralString

import psycopg
import pytest
from own_databases import OwnDatabases, ledger_state

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ROW: LiteralString = """
    INSERT INTO ledger.finished_partitions (dataset, partition, load_ids, schemas, sql_digest)
    VALUES ('things', '2021-04', '{}', '{}', 'left over')
"""


@pytest.fixture
def closed_last() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("turn", [1, 2])
def test_database_is_empty_even_if_an_earlier_test_left_tables(
    closed_last: ExitStack, database: str, turn: int
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        for schema in ("public", "ledger"):
            connection.execute(psycopg.sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(psycopg.sql.Identifier(schema)))
            connection.execute(psycopg.sql.SQL("CREATE TABLE {}.left_over ()").format(psycopg.sql.Identifier(schema)))
    # This session outlives the test and holds a lock on a table that the next test's fixture must drop.
    forgotten = psycopg.connect(database)
    closed_last.callback(forgotten.close)
    forgotten.execute("LOCK TABLE ledger.left_over")


@pytest.mark.parametrize(
    "change",
    [
        "SELECT",
        "GRANT USAGE ON SCHEMA public TO PUBLIC",
        "COMMENT ON SCHEMA public IS 'left over'",
        "CREATE FUNCTION public.left_over() RETURNS int LANGUAGE sql RETURN 1",
        "CREATE TYPE public.left_over AS ENUM ('left over')",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC",
        "DROP SCHEMA public",
    ],
)
def test_schema_public_is_new_even_if_an_earlier_test_changed_it(
    own_databases: OwnDatabases, change: LiteralString
) -> None:
    with own_databases.opened() as first, psycopg.connect(first, autocommit=True) as connection:
        connection.execute("CREATE TEMP TABLE left_over ()")
        connection.execute(change)
    with own_databases.opened() as second, psycopg.connect(second) as connection:
        assert second == first
        # Postgres keeps the schemas of temporary tables, which sessions of earlier tests have made.
        schemas = (
            "SELECT nspname, nspacl, obj_description(oid) FROM pg_namespace WHERE oid >= 16384 AND nspname !~ '^pg_'"
        )
        assert connection.execute(schemas).fetchall() == [("public", None, None)]
        inside = "SELECT FROM pg_depend WHERE refobjid = 'public'::regnamespace"
        assert connection.execute(inside).rowcount == 0


@pytest.mark.ledger
@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE ledger.loads ADD COLUMN left_over int",
        "ALTER TABLE ledger.loads DROP COLUMN status CASCADE",
        "ALTER TABLE ledger.loads ALTER COLUMN status SET DEFAULT 'left over'",
        "ALTER TABLE ledger.loads ALTER COLUMN status SET STATISTICS 7",
        "ALTER TABLE ledger.loads ADD CONSTRAINT left_over CHECK (true)",
        "ALTER TABLE ledger.loads SET (fillfactor = 50)",
        "ALTER TABLE ledger.loads RENAME TO left_over",
        "COMMENT ON TABLE ledger.loads IS 'left over'",
        "COMMENT ON COLUMN ledger.loads.status IS NULL",
        "COMMENT ON SCHEMA ledger IS 'left over'",
        "GRANT SELECT ON ledger.loads TO PUBLIC",
        "GRANT SELECT (status) ON ledger.loads TO PUBLIC",
        "GRANT USAGE ON SCHEMA ledger TO PUBLIC",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA ledger GRANT SELECT ON TABLES TO PUBLIC",
        "CREATE INDEX left_over ON ledger.loads (status)",
        "CREATE TABLE ledger.left_over ()",
        "DROP TABLE ledger.rejected_rows CASCADE",
        "CREATE SEQUENCE ledger.left_over",
        "CREATE VIEW ledger.left_over AS SELECT 1",
        "CREATE TYPE ledger.left_over AS ENUM ('left over')",
        "CREATE FUNCTION ledger.left_over() RETURNS int LANGUAGE sql RETURN 1",
        "CREATE POLICY left_over ON ledger.loads",
        "CREATE TRIGGER left_over BEFORE UPDATE ON ledger.loads"
        " FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "CREATE RULE left_over AS ON INSERT TO ledger.loads DO NOTHING",
        "DELETE FROM ledger.applied_files",
        "UPDATE ledger.datasets SET description = 'left over'",
    ],
)
def test_digest_of_the_ledger_changes_with_its_definition(database: str, change: LiteralString) -> None:
    with psycopg.connect(database) as connection:
        _, digest = ledger_state(connection)
        connection.execute(ROW)
        assert ledger_state(connection)[1] == digest
        connection.execute(change)
        assert ledger_state(connection)[1] != digest
        connection.rollback()


@pytest.mark.parametrize(
    "change",
    [
        ROW,
        "CREATE TABLE ledger.left_over ()",
        "CREATE SCHEMA left_over",
        "DROP SCHEMA ledger CASCADE",
        # also the session that clears the database
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    ],
)
def test_database_with_a_ledger_is_new_even_if_an_earlier_test_changed_it(
    own_databases: OwnDatabases, change: LiteralString
) -> None:
    for _ in range(2):
        with own_databases.opened(with_ledger=True) as dsn, psycopg.connect(dsn, autocommit=True) as connection:
            left = "SELECT to_regclass('ledger.left_over'), to_regnamespace('left_over')"
            assert connection.execute(left).fetchone() == (None, None)
            assert connection.execute("SELECT count(*) FROM ledger.finished_partitions").fetchone() == (0,)
            drawn = "SELECT nextval(pg_get_serial_sequence('ledger.load_attempts', 'attempt_id'))"
            assert connection.execute(drawn).fetchone() == (1,)
            connection.execute(change)


@pytest.mark.parametrize("turn", [1, 2])
def test_bucket_is_empty_even_if_an_earlier_test_left_objects(
    bucket: str, lake_administrator: "S3Client", turn: int
) -> None:
    assert "Contents" not in lake_administrator.list_objects_v2(Bucket=bucket)
    lake_administrator.put_object(Bucket=bucket, Key="left/over", Body=b"")
