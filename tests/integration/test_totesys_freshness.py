"""The flow `freshness` names `totesys` if its database cannot be checked."""

import os

import pytest
from freshness_runs import DUE, run_freshness

from tasks.contracts import catalog

pytestmark = pytest.mark.usefixtures("database", "bucket")


@pytest.mark.usefixtures("prefect_server")
def test_a_check_that_fails_is_named_and_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOTESYS_DSN", os.environ["WAREHOUSE_DSN"])  # a database without the tables of the source
    state = run_freshness(monkeypatch, DUE)
    assert (state.is_failed(), state.name) == (True, "Stale")
    assert state.message is not None
    assert "unchecked: totesys" in state.message
    expected = [contract.dataset for contract in catalog.contracts().values() if contract.expected]
    assert [dataset for dataset in expected if dataset not in state.message] == []
