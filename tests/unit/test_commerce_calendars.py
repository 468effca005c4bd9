from datetime import date

import pytest

from tasks.commerce.calendars import calendar_of
from tasks.engine.errors import SettingsError


def test_calendar_holds_the_holidays_of_the_country_in_order() -> None:
    calendar = calendar_of("US")
    holidays = calendar["holidays"]
    assert isinstance(holidays, list)
    assert holidays == sorted(set(holidays))
    assert {date(2021, 7, 4), date(2021, 7, 5), date(2021, 11, 25), date(2021, 12, 25)} <= set(holidays)
    assert (calendar["first_day"], calendar["last_day"]) == (date(1970, 1, 1), date(2069, 12, 31))
    assert date(1970, 1, 1) <= holidays[0] <= holidays[-1] <= date(2069, 12, 31)
    assert calendar_of("DE")["holidays"] != holidays


@pytest.mark.parametrize("country", ["XX", "Palau", "us"])
def test_unknown_country_is_an_error_that_names_the_setting(country: str) -> None:
    with pytest.raises(SettingsError, match=rf"'{country}'.*COMMERCE_COUNTRY"):
        calendar_of(country)
