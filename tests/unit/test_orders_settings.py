"""The settings of `orders`."""

import pytest
from pipeline_settings import assert_refused, assert_settings

DEFAULTS = {
    "ORDERS_INPUT_PREFIX": "Input/",
    "ORDERS_KEY": "{year:04d}-{month:02d}-{day:02d}.json",
    "ORDERS_OUTPUT_PREFIX": "Output/",
}


def test_settings_have_the_documented_defaults() -> None:
    assert_settings("ORDERS_", DEFAULTS)


@pytest.mark.parametrize(
    ("name", "value"),
    [("ORDERS_KEY", "orders.json"), ("ORDERS_KEY", "{year:04d}-{month:02d}.json"), ("ORDERS_KEY", "{day")],
)
def test_invalid_value_is_refused_without_the_value(name: str, value: str) -> None:
    assert_refused(name, value)
