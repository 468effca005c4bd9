"""Sample files of a shop's orders: deterministic, with the peculiarities of real files.

The files contain amounts with float noise, ids that exceed 32 bits, orders around midnight in the shop's time zone,
orders that a later file delivers again, a user whose only order is a test, contacts that are null or empty, and a bad
order. One day has no file. The same arguments give the same bytes on every machine.
`python -m deployments.samples.orders 2021-04-01 orders/` writes the files to a folder.
"""

import argparse
import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

DEFAULT_SEED = 20210401
DEFAULT_DAYS = 6
DEFAULT_ORDERS = 150
TILLS = 8
TEST_USER = 9_000_000_099
MISSING_DAY = 3
"""The number of the day (from 1) that has no file because it is a holiday."""

Order = dict[str, Any]

_MINUTES = (0, 7 * 60, 23 * 60 + 30, 23 * 60 + 59)
_CONTACTS = (None, "", "ann@example.com", "bob@example.com", 'the "good" one, ñ')


@dataclass(frozen=True)
class SampleOrders:
    """Files of orders, and the expected totals after all files are loaded in any order.

    Attributes:
        files: The content of each day's file.
        rows: The number of orders in each file, including bad ones.
        bad_rows: The number of orders in each file that must be rejected.
        order_count: The number of orders without test orders. The next three totals also exclude test orders.
        total_price: The total price of the orders' latest versions in the shop's currency.
        item_count: The number of line items in these versions.
        quantity: The total quantity of these line items.
        user_orders: The number of orders by user, including test orders.
    """

    files: dict[date, bytes]
    rows: dict[date, int]
    bad_rows: dict[date, int]
    order_count: int
    total_price: Decimal
    item_count: int
    quantity: int
    user_orders: dict[int, int]


def sample_orders(
    first: date, days: int = DEFAULT_DAYS, orders: int = DEFAULT_ORDERS, *, seed: int = DEFAULT_SEED
) -> SampleOrders:
    """Generate the files of consecutive days.

    Args:
        first: The first day.
        days: The number of days.
        orders: The number of new orders on each day. A file also contains some orders of earlier days.
        seed: The seed of the random values.
    """
    rng = random.Random(f"{seed} {first}")  # noqa: S311 - reproducible, not secret
    files, rows, bad_rows, latest = dict[date, bytes](), dict[date, int](), dict[date, int](), dict[int, Order]()
    for number in range(1, days + 1):
        day = first + timedelta(number - 1)
        if number == MISSING_DAY:
            continue
        again = [_again(rng, latest[key]) for key in rng.sample(sorted(latest), k=min(len(latest), orders // 20))]
        found = [*new_orders(rng, day, orders), *again]
        if number == 1:
            found.append(_test_order(rng, day))
        for order in found:
            known = latest.get(order["id"])
            if known is None or _updated(order) >= _updated(known):
                latest[order["id"]] = order
        found.sort(key=lambda order: (order["created_at"], order["id"]), reverse=True)  # newest first
        is_bad = number == days
        bad = [{**found[0], "id": 1, "created_at": "yesterday"}] if is_bad else []
        files[day] = b"".join(document([*bad, *found], is_pretty=number % 2 == 0))
        rows[day], bad_rows[day] = len(found) + is_bad, int(is_bad)
    real = [order for order in latest.values() if not order["test"]]
    users = [order["user_id"] for order in latest.values() if order["user_id"]]
    return SampleOrders(
        files,
        rows,
        bad_rows,
        len(real),
        sum((cents(order["total_price"]) for order in real), Decimal()),
        sum(len(order["line_items"]) for order in real),
        sum(item["quantity"] for order in real for item in order["line_items"]),
        {user: users.count(user) for user in sorted(set(users))},
    )


def cents(text: str) -> Decimal:
    """Return the exact price for a text with float noise."""
    return Decimal(text).quantize(Decimal("0.01"))


def document(orders: Iterable[Order], *, is_pretty: bool = False) -> Iterator[bytes]:
    """Yield the JSON document of a day, order by order."""
    opening, between, closing = (b'{"orders": [\n', b",\n", b"\n]}\n") if is_pretty else (b'{"orders": [', b", ", b"]}")
    yield opening
    for place, order in enumerate(orders):
        yield (between if place else b"") + json.dumps(order, indent=2 if is_pretty else None).encode()
    yield closing


def new_orders(rng: random.Random, day: date, count: int) -> Iterator[Order]:
    """Generate the orders of a day, at the tills and online. Times around midnight are frequent."""
    for number in range(count):
        # The samples ignore clock changes.
        minute = rng.choice(_MINUTES) if rng.random() < 0.1 else rng.randrange(24 * 60)
        yield _order(rng, day, datetime.combine(day, time(minute // 60, minute % 60, rng.randrange(60))), number)


def _order(rng: random.Random, day: date, moment: datetime, number: int) -> Order:
    key = int(f"{day:%y%m%d}") * 1_000_000 + number
    items = [
        {
            "id": key * 10 + place,
            "variant_id": 40_000_000_000 + rng.randrange(50),
            "quantity": rng.randint(1, 4),
            "product_id": 8_000_000_000 + rng.randrange(20),
        }
        for place in range(rng.choice((1, 1, 1, 2, 3)))
    ]
    subtotal = sum(item["quantity"] for item in items) * rng.randint(300, 9000)
    tax = subtotal * 8875 // 100_000
    is_online = rng.random() < 0.3
    created = f"{moment.isoformat()}{'-04:00' if 3 < day.month < 11 else '-05:00'}"
    return {
        "id": key,
        "email": rng.choice(_CONTACTS),
        "closed_at": None,
        "created_at": created,
        "updated_at": created,
        "number": number + 1,
        "note": rng.choice((None, "", "a gift\nwith care")),
        "token": f"{rng.getrandbits(64):016x}",
        "gateway": rng.choice(("shopify_payments", "cash", "gift_card")),
        "test": False,
        "total_price": _noisy(rng, subtotal + tax),
        "subtotal_price": _noisy(rng, subtotal),
        "total_weight": rng.randrange(2000),
        "total_tax": _noisy(rng, tax),
        "taxes_included": False,
        "currency": "USD",
        "financial_status": "paid",
        "confirmed": True,
        "total_discounts": _noisy(rng, 0),
        "total_line_items_price": _noisy(rng, subtotal),
        "cart_token": None,
        "buyer_accepts_marketing": rng.random() < 0.5,
        "name": f"#{day:%y%m%d}{number + 1:05}",
        "referring_site": None,
        "landing_site": None,
        "cancelled_at": None,
        "cancel_reason": None,
        "total_price_usd": _noisy(rng, subtotal + tax),
        "checkout_token": None,
        "reference": None,
        "user_id": None if is_online else 9_000_000_000 + rng.randrange(TILLS),
        "location_id": None if is_online else 35_000_000_000 + rng.randrange(3),
        "source_identifier": None,
        "source_url": None,
        "processed_at": created,
        "device_id": None,
        "phone": rng.choice((None, "", "+1 555 0100")),
        "customer_locale": "en",
        "app_id": 580_111,
        "browser_ip": "192.0.2.7" if is_online else None,
        "landing_site_ref": None,
        "order_number": number + 1001,
        "processing_method": "direct",
        "checkout_id": 5_000_000_000_000 + key if is_online else None,
        "source_name": "web" if is_online else "pos",
        "fulfillment_status": rng.choice((None, "fulfilled")),
        "tags": "",
        "contact_email": None,
        "order_status_url": "https://shop.example.com/orders/" + f"{key}",
        "line_items": items,
        "total_discount": _noisy(rng, 0),
    }


def _updated(order: Order) -> datetime:
    return datetime.fromisoformat(order["updated_at"])


def _again(rng: random.Random, order: Order) -> Order:
    """Return another version of an order: usually a later version, sometimes an outdated one."""
    moved = _updated(order) + timedelta(minutes=rng.choice((-30, 5, 600, 1500)))
    return order | {
        "updated_at": moved.isoformat(),
        "user_id": order["user_id"] and 9_000_000_000 + rng.randrange(TILLS),
        "line_items": order["line_items"] + order["line_items"][:1] * rng.randrange(2),
        "source_note": "delivered again",  # a key that the contract does not contain
    }


def _test_order(rng: random.Random, day: date) -> Order:
    order = _order(rng, day, datetime.combine(day, time(12)), 999_999)
    nothing = {"variant_id": None, "product_id": None, "quantity": 1}
    return order | {
        "test": True,
        "user_id": TEST_USER,
        "line_items": [order["line_items"][0] | nothing],
        **dict.fromkeys(("total_price", "subtotal_price", "total_tax", "total_price_usd"), "0.00"),
    }


def _noisy(rng: random.Random, amount: int) -> str:
    """Format an amount of cents like the result of a float addition."""
    exact = Decimal(amount).scaleb(-2)
    noise = rng.choice((0, 0, 1, -1)) * Decimal("0.00000000000002")
    return format(exact + noise if amount else exact, "f")


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the files of consecutive days to a folder."""
    parser = argparse.ArgumentParser(
        prog="python -m deployments.samples.orders", description="Write files of sample orders, one for each day."
    )
    parser.add_argument("first", type=date.fromisoformat, help="first day, YYYY-MM-DD")
    parser.add_argument("folder", type=Path, help="the folder for the files; it is created if it is missing")
    parser.add_argument("--days", type=int, default=DEFAULT_DAYS, help=f"number of days (default {DEFAULT_DAYS})")
    parser.add_argument(
        "--orders", type=int, default=DEFAULT_ORDERS, help=f"new orders on each day (default {DEFAULT_ORDERS})"
    )
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    for day, content in sample_orders(options.first, options.days, options.orders).files.items():
        (options.folder / f"{day}.json").write_bytes(content)


if __name__ == "__main__":
    main()
