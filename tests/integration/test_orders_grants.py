"""The roles of `deployments/grants.py` in the pipeline `orders`."""

from datetime import date

import pytest
from role_fixtures import ANALYST, as_role, denied, put, run

from deployments.samples.orders import sample_orders
from flows.orders_daily import orders_daily

# Roles belong to the server, so tests that create them must not run at the same time.
pytestmark = [pytest.mark.usefixtures("bucket"), pytest.mark.xdist_group("roles")]


@pytest.mark.usefixtures("as_loader")
def test_loader_runs_days_of_orders(database: str) -> None:
    days = [date(2021, 12, 31), date(2022, 1, 1)]
    for day, content in sample_orders(days[0], 2, 20).files.items():
        put(f"Input/{day}.json", content)
        assert [receipt.status for receipt in run(orders_daily, day=day)] == ["loaded"]
    with as_role(database, ANALYST) as opened:
        for table in ("latest_orders", "orders_table", "order_details", "user_months", "users_table"):
            assert opened.execute(f"SELECT count(*) > 0 FROM orders_core.{table}").fetchone() == (True,)
        assert denied(opened, "SELECT * FROM orders_staging.orders_raw")
