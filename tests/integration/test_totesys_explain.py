"""Rows of the warehouse of `totesys` are explained by the objects of all runs, including earlier runs."""

from random import Random

import pytest
from explained_rows import check_staging, check_table, records_at
from sample_dataset import client, ready_connection
from totesys_oracle import SCHEMAS, Source, Warehouse, changes_of, currency_names

from tasks.contracts.totesys import TOTESYS
from tasks.engine.build.sql_files import tables_of
from tasks.engine.schema.ddl import apply_ddl

pytestmark = pytest.mark.usefixtures("database", "bucket")


def test_rows_of_every_table_are_explained_by_the_row_of_the_run_that_brought_them() -> None:
    source = Source(Random(1))  # noqa: S311 - repeatable, not secret
    for table in source.tables:
        for row_id in (1, 2, 3):
            source.put(table, row_id)
    with ready_connection(*TOTESYS) as connection:
        apply_ddl(connection, TOTESYS, SCHEMAS)
        warehouse = Warehouse(connection)
        warehouse.sync(changes_of(source))
        for table in source.tables:
            source.put(table, 2)
        source.put("sales_order", 1, staff_id=77)  # waits in the quarantine
        warehouse.sync(changes_of(source))
        assert sum(check_staging(connection, contract) for contract in TOTESYS) >= len(TOTESYS)
        runs = set()
        for schema in SCHEMAS:
            for table in tables_of(schema):
                if not table.is_built:
                    continue
                for found in check_table(connection, table.name, currency_names()):
                    assert found.origins.computed or found.origins.row_count
                    records = []
                    for origin in found.origins.shown:
                        bucket, _, key = origin.source_uri.removeprefix("s3://").partition("/")
                        data = client().get_object(Bucket=bucket, Key=key)["Body"].read()
                        (record,) = records_at(data, key, origin.lines[0])
                        records.append({str(value) for value in record.values()})
                        runs.add(key.split("/")[1])
                    identifiers = {str(value) for value in found.key.values()}
                    assert found.origins.computed or any(identifiers & values for values in records)
        assert runs == {"1", "2"}
