"""The reset of the datasets of `orders`."""

import pytest
from pipeline_resets import reset
from sample_dataset import connection

from tasks.contracts.orders import ORDERS

pytestmark = pytest.mark.usefixtures("database", "bucket")


def test_dataset_can_be_reset() -> None:
    with connection() as postgres:
        assert len(reset(postgres, ORDERS).tables) == 7
