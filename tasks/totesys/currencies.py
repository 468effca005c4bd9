"""Currencies: their English names in ISO 4217, from the library `iso4217`."""

import json


def currency_names() -> dict[str, str]:
    """The parameter `currency_names` of a build: names by code, as a JSON object. A withdrawn code has no name."""
    from iso4217 import Currency  # noqa: PLC0415 - the import reads a table of 2 MB

    return {"currency_names": json.dumps({currency.code: currency.currency_name for currency in Currency})}
