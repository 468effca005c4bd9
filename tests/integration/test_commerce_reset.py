"""The reset of the datasets of `commerce`."""

import pytest
from pipeline_resets import reset
from sample_dataset import connection

from tasks.contracts import Contract
from tasks.contracts.commerce import COMMERCE

pytestmark = pytest.mark.usefixtures("database", "bucket")


@pytest.mark.parametrize("contract", COMMERCE, ids=lambda contract: contract.dataset)
def test_dataset_can_be_reset_and_shared_tables_stay(contract: Contract) -> None:
    with connection() as postgres:
        plan = reset(postgres, contract)
    assert [name for name, _ in plan.tables] == [contract.ingested, contract.table]
