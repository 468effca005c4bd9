"""Calendars: the public holidays of a country, by the library `holidays`."""

from datetime import date

import holidays

from tasks.engine.errors import SettingsError
from tasks.engine.quoting import quoted

FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(2069, 12, 31)
"""Range of a computed calendar; does not depend on the day of the run."""


def calendar_of(country: str) -> dict[str, date | list[date]]:
    """First and last day of a country's calendar, and its public holidays, with days off in lieu.

    Args:
        country: ISO 3166-1 code of two letters, such as `US`.

    Raises:
        SettingsError: The library does not know the country.
    """
    supported = holidays.list_supported_countries()
    if country not in supported:
        known = ", ".join(sorted(code for code in supported if code[:1] == country[:1]))
        raise SettingsError(
            f"no calendar of public holidays for country {quoted(country)}: expected an ISO 3166-1 code of two letters."
            f" Known codes with this first letter: {known or 'none'}. Set COMMERCE_COUNTRY"
        )
    days = holidays.country_holidays(country, years=range(FIRST_DAY.year, LAST_DAY.year + 1))
    return {
        "first_day": FIRST_DAY,
        "last_day": LAST_DAY,
        "holidays": sorted(day for day in days if FIRST_DAY <= day <= LAST_DAY),
    }
