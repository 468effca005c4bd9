"""Rows of the shop's tables are explained by the bytes in S3 that they derive from."""

from datetime import date

import pytest
from explained_rows import check_staging, check_table
from sample_dataset import load, put, ready_connection

from deployments.samples.commerce import sample_shop
from flows.commerce_analytics import ANALYTICS, REFERENCE
from tasks.contracts.commerce import COMMERCE
from tasks.engine.build.builder import build_tables
from tasks.engine.build.sql_files import tables_of
from tasks.engine.schema.ddl import apply_ddl

pytestmark = pytest.mark.usefixtures("database", "bucket")

AS_OF = date(2021, 12, 31)


def test_rows_of_every_table_are_derived_again_from_their_lines() -> None:
    shop = sample_shop(AS_OF, 400)
    with ready_connection(*COMMERCE) as connection:
        apply_ddl(connection, COMMERCE, [REFERENCE.schema, ANALYTICS.schema])
        for contract in COMMERCE:
            for key in contract.keys:
                if key in shop.files:
                    load(connection, put(shop.files[key], f"shop/{key}", ""), contract=contract)
        for build in (REFERENCE, ANALYTICS):
            parameters = build.parameters(f"{AS_OF}")
            build_tables(connection, build.schema, parameters, partition=f"{AS_OF}", contracts=build.contracts)
        assert sum(check_staging(connection, contract) for contract in COMMERCE) > 50
        for build in (REFERENCE, ANALYTICS):
            for table in tables_of(build.schema):
                check_table(connection, table.name, build.parameters(f"{AS_OF}"))
        for table in tables_of(ANALYTICS.schema):
            (found,) = check_table(connection, table.name, ANALYTICS.parameters(f"{AS_OF}"))
            assert found.origins.row_count
