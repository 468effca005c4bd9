"""Rows of orders and of their core are explained by the bytes in S3 that they derive from."""

from datetime import date

import pytest
from explained_rows import check_staging, check_table
from sample_dataset import load, put, ready_connection

from deployments.samples.orders import sample_orders
from flows.orders_daily import CORE
from tasks.contracts.orders import ORDERS
from tasks.engine.build.builder import build_tables
from tasks.engine.build.sql_files import tables_of
from tasks.engine.schema.ddl import apply_ddl

pytestmark = pytest.mark.usefixtures("database", "bucket")


def test_rows_of_every_table_are_derived_again_from_their_lines() -> None:
    with ready_connection(ORDERS) as connection:
        apply_ddl(connection, [ORDERS], [CORE.schema])
        for day, data in sample_orders(date(2021, 12, 20), 4, 60).files.items():
            load(connection, put(data, f"{day}.json", f"{day}"), contract=ORDERS)
            build_tables(
                connection, CORE.schema, CORE.parameters(f"{day}"), partition=f"{day}", contracts=CORE.contracts
            )
        assert check_staging(connection, ORDERS) == 25
        for table in tables_of(CORE.schema):
            if table.is_built:
                found = check_table(connection, table.name, {"day": date(2021, 12, 20)})
                assert len(found) > 5
                assert all(each.origins.row_count for each in found)
