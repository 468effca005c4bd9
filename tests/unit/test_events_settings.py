"""The settings of `events`."""

import pytest
from pipeline_settings import assert_refused, assert_settings

DEFAULTS = {
    "EVENTS_PREFIX": "",
    "EVENTS_KEY": "{year:04d}/{month:02d}/events.csv",
}


def test_settings_have_the_documented_defaults() -> None:
    assert_settings("EVENTS_", DEFAULTS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EVENTS_KEY", "events.csv"),
        ("EVENTS_KEY", "{year:04d}/events.csv"),
        ("EVENTS_KEY", "{year}/{month}/{hour}.csv"),
    ],
)
def test_invalid_value_is_refused_without_the_value(name: str, value: str) -> None:
    assert_refused(name, value)
