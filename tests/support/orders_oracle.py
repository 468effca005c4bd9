"""The expected tables for files of orders, computed independently in Python, to compare with the pipeline.

It shares no code with the pipeline. An order that cannot be read is left out, as the pipeline rejects it.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

Row = tuple[Any, ...]
Order = dict[str, Any]


@dataclass(frozen=True)
class Version:
    """One order in the file of one day."""

    day: date
    order: Order

    @property
    def rank(self) -> tuple[datetime, date]:
        return instant(self.order["updated_at"]), self.day


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def local_date(text: str) -> date:
    return datetime.fromisoformat(text).date()


def money(value: Any) -> Decimal | None:
    """Round written digits to two decimals, half away from zero."""
    if value in (None, ""):
        return None
    return Decimal(str(value)).quantize(Decimal("0.01"), ROUND_HALF_UP)


def weight(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value)).quantize(Decimal("0.001"), ROUND_HALF_UP)


def is_readable(order: Order) -> bool:
    try:
        return bool(instant(order["created_at"]) and instant(order["updated_at"]) and int(order["id"]))
    except ValueError:
        return False


def versions_of(files: Mapping[date, bytes]) -> list[Version]:
    """Every readable order of every file."""
    return [
        Version(day, order)
        for day, content in files.items()
        for order in json.loads(content, parse_float=Decimal)["orders"]
        if is_readable(order)
    ]


def latest(versions: Iterable[Version]) -> dict[int, Version]:
    """The current version of each order."""
    found: dict[int, Version] = {}
    for version in versions:
        known = found.get(version.order["id"])
        if known is None or version.rank > known.rank:
            found[version.order["id"]] = version
    return found


def tables(versions: Iterable[Version]) -> dict[str, list[Row]]:
    """Rows of the tables, in their columns, sorted by their keys."""
    counting = latest(versions)
    orders = [counting[key].order for key in sorted(counting)]
    return {
        "orders_table": [orders_row(order) for order in orders if not order["test"]],
        "order_details": [row for order in orders if not order["test"] for row in detail_rows(order)],
        "users_table": list(user_rows(orders)),
        "user_months": month_rows(orders),
    }


def orders_row(order: Order) -> Row:
    times = [
        order[name] and instant(order[name]) for name in ("created_at", "processed_at", "updated_at", "cancelled_at")
    ]
    prices = (
        "subtotal_price",
        "total_discounts",
        "total_line_items_price",
        "total_price",
        "total_price_usd",
        "total_tax",
    )
    return (
        *(order[name] for name in ("id", "order_number", "checkout_id", "location_id", "gateway")),
        order["checkout_id"] is not None,
        order["name"],
        *times,
        order["cancel_reason"],
        order["processing_method"],
        *(money(order[name]) for name in prices),
        weight(order["total_weight"]),
    )


def detail_rows(order: Order) -> list[Row]:
    return [
        (item["id"], order["id"], position, item["product_id"], item["variant_id"], item["quantity"])
        for position, item in enumerate(order["line_items"] or [], 1)
    ]


def month_rows(orders: Iterable[Order]) -> list[Row]:
    months = Counter(
        (order["user_id"], instant(order["created_at"]).date().replace(day=1))
        for order in orders
        if order["user_id"] is not None
    )
    return sorted((*key, count) for key, count in months.items())


def user_rows(orders: Iterable[Order]) -> Iterable[Row]:
    by_user: dict[int, list[Order]] = {}
    for order in orders:
        if order["user_id"] is not None:
            by_user.setdefault(order["user_id"], []).append(order)
    for user in sorted(by_user):
        own = sorted(by_user[user], key=lambda order: (instant(order["created_at"]), order["id"]))
        contact = (own[-1][name] for name in ("email", "phone", "location_id", "buyer_accepts_marketing"))
        ends = [value for order in (own[0], own[-1]) for value in (instant(order["created_at"]), order["name"])]
        yield user, *contact, *ends, len(own)
