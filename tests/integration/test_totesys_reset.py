"""A dataset of `totesys` cannot be reset."""

import pytest
from sample_dataset import connection

from tasks.contracts.catalog import contracts
from tasks.contracts.totesys import TOTESYS
from tasks.engine.errors import ResetError
from tasks.engine.schema.reset import plan_reset


@pytest.mark.usefixtures("database")
def test_dataset_of_a_sync_is_refused_with_the_reason() -> None:
    with connection() as opened, pytest.raises(ResetError, match="run the flow with full=true"):
        plan_reset(opened, TOTESYS[0], contracts().values())
