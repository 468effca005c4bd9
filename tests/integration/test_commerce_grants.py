"""The roles of `deployments/grants.py` in the pipeline `commerce`."""

from datetime import date

import pytest
from role_fixtures import ANALYST, as_role, denied, put, run

from deployments.samples.commerce import sample_shop
from flows.commerce_analytics import commerce_analytics
from tasks.engine.schema import rights

# Roles belong to the server, so tests that create them must not run at the same time.
pytestmark = [pytest.mark.usefixtures("bucket"), pytest.mark.xdist_group("roles")]


def test_shared_tables_belong_to_the_pipeline() -> None:
    assert "if_common" in rights.pipelines()["commerce"].schemas


@pytest.mark.usefixtures("as_loader")
def test_loader_runs_the_shop(database: str) -> None:
    for as_of, seed in ((date(2021, 12, 31), 1), (date(2022, 1, 1), 2)):
        for name, content in sample_shop(as_of, 50, seed=seed).files.items():
            put(f"orders_data/{name}", content)
        assert run(commerce_analytics, as_of=as_of)
    with as_role(database, ANALYST) as opened:
        assert opened.execute("SELECT count(*) FROM commerce_analytics.agg_shipments").fetchone() == (2,)
        assert denied(opened, "SELECT * FROM commerce_staging.orders")
