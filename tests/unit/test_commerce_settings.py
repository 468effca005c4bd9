"""The settings of `commerce`."""

import pytest
from pipeline_settings import assert_refused, assert_settings

DEFAULTS = {"COMMERCE_PREFIX": "orders_data/", "COMMERCE_COUNTRY": "US"}


def test_settings_have_the_documented_defaults() -> None:
    assert_settings("COMMERCE_", DEFAULTS)


@pytest.mark.parametrize(("name", "value"), [("COMMERCE_COUNTRY", "U")])
def test_invalid_value_is_refused_without_the_value(name: str, value: str) -> None:
    assert_refused(name, value)
