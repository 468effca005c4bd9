"""Rows of events and of their marts are explained by the bytes in S3 that they derive from."""

import pytest
from explained_rows import check_staging, check_table
from sample_dataset import load, put, ready_connection

from deployments.samples.events import events_csv
from flows.events_monthly import MARTS
from tasks.contracts.events import EVENTS
from tasks.engine.build.builder import build_tables
from tasks.engine.build.sql_files import tables_of
from tasks.engine.schema.ddl import apply_ddl

pytestmark = pytest.mark.usefixtures("database", "bucket")


def test_rows_of_every_table_are_derived_again_from_their_lines() -> None:
    with ready_connection(EVENTS) as connection:
        apply_ddl(connection, [EVENTS], [MARTS.schema])
        for month in ("2021-03", "2021-04"):
            data = b"".join(events_csv(month, 800, bad_rows=9))
            load(connection, put(data, f"{month.replace('-', '/')}/events.csv", month), contract=EVENTS)
            build_tables(connection, MARTS.schema, MARTS.parameters(month), partition=month, contracts=MARTS.contracts)
        assert check_staging(connection, EVENTS) == 25
        for table in tables_of(MARTS.schema):
            has_side_rows = "tag" in table.key
            found = check_table(connection, table.name, has_side_rows=has_side_rows)
            assert len(found) > 5
            assert all(each.origins.row_count for each in found)
