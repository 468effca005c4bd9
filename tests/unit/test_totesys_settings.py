"""The settings of `totesys`."""

import pytest
from pipeline_settings import assert_refused, assert_settings

from tasks.engine.settings import known_variables

DEFAULTS = {"TOTESYS_CSV_BUCKET": "totesys-csv", "TOTESYS_PARQUET_BUCKET": "totesys-parquet"}


def test_settings_have_the_documented_defaults() -> None:
    assert_settings("TOTESYS_", DEFAULTS)
    assert known_variables() >= {"TOTESYS_DSN", "TOTESYS_SECRET"}


@pytest.mark.parametrize(("name", "value"), [("TOTESYS_CSV_BUCKET", "ab"), ("TOTESYS_PARQUET_BUCKET", "  ")])
def test_invalid_value_is_refused_without_the_value(name: str, value: str) -> None:
    assert_refused(name, value)
