"""Random rows of a Totesys database; see `deployments.samples.totesys`."""

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

CURRENCIES = ("GBP", "USD", "EUR")
PAYMENT_TYPES = ("SALES_RECEIPT", "SALES_REFUND", "PURCHASE_PAYMENT", "PURCHASE_REFUND")
DEPARTMENTS = ("Sales", "Purchasing", "Production", "Dispatch", "Finance", "Facilities", "Communications", "HR")
CITIES = ("Leeds", "Port Sydnie", "Saint-Étienne", "Kirkwall", "New Marcos", "A Coruña", "Øksfjord", "Wells, Somerset")
FIRST_NAMES = ("Ana", "Jeremie", "Zoë", "Deron", "Pierre")
LAST_NAMES = ("Glover", "O'Keefe", "Ñandú", "Beier", "Padberg")
WORDS = ("Wooden", "Bronze", "Soft", "Granite", "Ergonomic", "Plastic", "Rubber", "Concrete", "Steel", "Fresh")

Ids = Mapping[str, Sequence[int]]
"""The ids of existing rows, by table."""

Row = tuple[str | int | None, ...]
"""The values of all columns except the key and the two times."""


def _pick(rng: random.Random, choices: Sequence[Any]) -> Any:
    return choices[int(rng.random() * len(choices))]


def _day(rng: random.Random, at: datetime, days: int) -> str:
    return (at + timedelta(int(rng.random() * days))).date().isoformat()


def _address(rng: random.Random, ids: Ids, at: datetime, number: int) -> Row:
    del ids, at
    return (
        f"{number} {_pick(rng, WORDS)} Street",
        _pick(rng, (None, "Flat 2", 'The "Old" Mill')),
        _pick(rng, (None, "Avon", "")),
        _pick(rng, CITIES),
        f"{10_000 + number}-{_pick(rng, range(1000, 9999))}",
        _pick(rng, ("United Kingdom", "Falkland Islands (Malvinas)", "Côte d'Ivoire")),
        f"0{_pick(rng, range(1000, 9999))} {_pick(rng, range(100_000, 999_999))}",
    )


def _counterparty(rng: random.Random, ids: Ids, at: datetime, number: int) -> Row:
    del at
    address = None if rng.random() < 0.1 else _pick(rng, ids["address"])
    return (f"{_pick(rng, WORDS)}, {_pick(rng, WORDS)} and Sons {number}", address, _person(rng), _person(rng))


def _currency(rng: random.Random, ids: Ids, at: datetime, number: int) -> Row:
    del rng, ids, at
    return (CURRENCIES[(number - 1) % len(CURRENCIES)],)


def _department(rng: random.Random, ids: Ids, at: datetime, number: int) -> Row:
    del ids, at
    return (DEPARTMENTS[(number - 1) % len(DEPARTMENTS)], _pick(rng, (None, *CITIES)), _person(rng))


def _design(rng: random.Random, ids: Ids, at: datetime, number: int) -> Row:
    del ids
    name = _pick(rng, WORDS)
    return (name, f"/usr/share/{name.lower()}", f"{name.lower()}-{at:%Y%m%d}-{number}.json")


def _staff(rng: random.Random, ids: Ids, at: datetime, number: int) -> Row:
    del at
    first, last = _person(rng).split(" ")
    return (first, last, _pick(rng, ids["department"]), f"{first}.{last}.{number}@terrifictotes.com".lower())


def _payment_type(rng: random.Random, ids: Ids, at: datetime, number: int) -> Row:
    del rng, ids, at
    return (PAYMENT_TYPES[(number - 1) % len(PAYMENT_TYPES)],)


def _sales_order(rng: random.Random, ids: Ids, at: datetime, number: int) -> Row:
    del number
    return (
        _pick(rng, ids["design"]),
        _pick(rng, ids["staff"]),
        _pick(rng, ids["counterparty"]),
        1000 + int(rng.random() * 99_000),
        f"{2 + rng.random() * 2:.2f}",
        _pick(rng, ids["currency"]),
        _day(rng, at, 7),
        _day(rng, at, 7),
        _pick(rng, ids["address"]),
    )


def _purchase_order(rng: random.Random, ids: Ids, at: datetime, number: int) -> Row:
    del number
    return (
        _pick(rng, ids["staff"]),
        _pick(rng, ids["counterparty"]),
        f"{_pick(rng, WORDS).upper()}{int(rng.random() * 1000):03d}",
        1 + int(rng.random() * 999),
        f"{rng.random() * 1000:.2f}",
        _pick(rng, ids["currency"]),
        _day(rng, at, 7),
        _day(rng, at, 7),
        _pick(rng, ids["address"]),
    )


def _transaction(rng: random.Random, ids: Ids, at: datetime, number: int) -> Row:
    """Return a transaction of one of the first orders; sales orders come first."""
    del rng, at
    sales = len(ids["sales_order"])
    if number <= sales:
        return ("SALE", ids["sales_order"][number - 1], None)
    return ("PURCHASE", None, ids["purchase_order"][number - 1 - sales])


def _payment(rng: random.Random, ids: Ids, at: datetime, number: int) -> Row:
    is_paid = rng.random() < 0.6
    return (
        ids["transaction"][(number - 1) % len(ids["transaction"])],
        _pick(rng, ids["counterparty"]),
        f"{rng.random() * 500_000:.2f}",
        _pick(rng, ids["currency"]),
        _pick(rng, ids["payment_type"]),
        "t" if is_paid else "f",
        _day(rng, at, 7) if is_paid or rng.random() < 0.8 else None,
        10_000_000 + int(rng.random() * 90_000_000),
        10_000_000 + int(rng.random() * 90_000_000),
    )


def _person(rng: random.Random) -> str:
    return f"{_pick(rng, FIRST_NAMES)} {_pick(rng, LAST_NAMES)}"


NEW_ROW: dict[str, Callable[[random.Random, Ids, datetime, int], Row]] = {
    "address": _address,
    "counterparty": _counterparty,
    "currency": _currency,
    "department": _department,
    "design": _design,
    "staff": _staff,
    "payment_type": _payment_type,
    "sales_order": _sales_order,
    "purchase_order": _purchase_order,
    "transaction": _transaction,
    "payment": _payment,
}
"""For each table, a function that generates a row from the existing ids, the time and the row's number."""

FIRST_ROWS = {
    "address": 30,
    "counterparty": 20,
    "currency": len(CURRENCIES),
    "department": len(DEPARTMENTS),
    "design": 120,
    "staff": 20,
    "payment_type": len(PAYMENT_TYPES),
}
"""The initial number of rows in each dimension table."""
