"""Every table, view and column that Tally creates has a comment, so that `\\d+` in psql explains it."""

from collections.abc import Iterator

import pytest
from sample_dataset import THINGS, connection

from tasks.contracts.catalog import contracts
from tasks.engine.build.sql_files import ROOT
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.warehouse.tables import Connection

UNCOMMENTED = """
SELECT n.nspname || '.' || c.relname || coalesce('.' || a.attname, '')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
    SELECT NULL::name AS attname, 0 AS attnum
    UNION ALL SELECT attname, attnum FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped
) AS a
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
    AND NOT c.relispartition AND coalesce(pg_catalog.col_description(c.oid, a.attnum),
        CASE WHEN a.attnum = 0 THEN obj_description(c.oid, 'pg_class') END, '') = ''
ORDER BY 1
"""


@pytest.fixture
def postgres(database: str) -> Iterator[Connection]:
    del database  # it sets the environment
    with connection() as opened:
        yield opened


def uncommented(postgres: Connection) -> list[str]:
    return [name for (name,) in postgres.execute(UNCOMMENTED).fetchall()]


def test_every_table_view_and_column_of_the_project_has_a_comment(postgres: Connection) -> None:
    schemas = sorted(folder.name for folder in ROOT.iterdir() if any(folder.glob("*/table.sql")))
    apply_ddl(postgres, list(contracts().values()), schemas)
    assert uncommented(postgres) == []
    created = postgres.execute("SELECT DISTINCT schemaname FROM pg_tables WHERE schemaname !~ '^(pg|inf)'").fetchall()
    assert {name for (name,) in created} == {*schemas, *(each.schema for each in contracts().values())}


def test_staging_table_of_any_contract_has_comments_on_its_own_columns(postgres: Connection) -> None:
    apply_ddl(postgres, [THINGS], [])
    comments = dict(
        postgres.execute(
            "SELECT attname::text, col_description(attrelid, attnum) FROM pg_attribute"
            " WHERE attrelid = 'things_staging.things'::regclass AND attnum > 0"
        ).fetchall()
    )
    assert uncommented(postgres) == []
    assert comments["month"].startswith("First day of the month")
    assert comments["load_id"].startswith("Load that wrote the row")


def test_missing_comments_are_found(postgres: Connection) -> None:
    apply_ddl(postgres, [THINGS], [])
    postgres.execute("COMMENT ON TABLE things_staging.things IS NULL")
    postgres.execute("COMMENT ON COLUMN things_staging.things.load_id IS ''")
    postgres.execute("CREATE VIEW things_staging.few AS SELECT name FROM things_staging.things")
    assert uncommented(postgres) == [
        "things_staging.few",
        "things_staging.few.name",
        "things_staging.things",
        "things_staging.things.load_id",
    ]
