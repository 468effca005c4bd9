"""The reset of the datasets of `orders`."""

import pytest
from pipeline_resets import reset
from sample_dataset import connection

from tasks.contracts.orders import ORDERS

pytestmark = pytest.mark.usefixtures("database", "bucket")


def test_dataset_can_be_reset() -> None:
    with connection() as postgres:
        removed = {table for table, _ in reset(postgres, ORDERS).tables}
    core = ("affected_orders", "latest_orders", "order_details", "orders_table", "user_months", "users_table")
    staging = {"orders_staging.orders_raw", "orders_staging.orders_raw_ingested"}
    assert removed == {*staging, *(f"orders_core.{name}" for name in core)}
