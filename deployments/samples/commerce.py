"""Sample files of a shop: deterministic, with delivery times on both sides of each limit, and with a few bad rows.

The same arguments give the same bytes on every machine.
`python -m deployments.samples.commerce 2021-12-31 shop/` writes the files to a folder.
"""

import argparse
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

DEFAULT_SEED = 20211231
DEFAULT_ORDERS = 5000
PRODUCTS = ("pen", "ink", "cup", "hat", "map, folded", "lamp", "rope", "bell", "soap", 'the "good" chair')
CUSTOMERS = 40
LATE_DAYS = 6
UNDELIVERED_DAYS = 15

_SPAN_DAYS = 500
_BAD_REVIEWS = ("0,3", "6,3", "five,3")


@dataclass(frozen=True)
class SampleShop:
    """A shop's files, and the expected results of a run as of its date.

    Attributes:
        files: The content of each file, by its name without the prefix.
        rows: The number of records in each file, including bad ones.
        bad_rows: The number of records in each file that must be rejected.
        late_count: The number of late shipments.
        undelivered_count: The number of undelivered items.
        review_points: The points of the best product.
    """

    files: dict[str, bytes]
    rows: dict[str, int]
    bad_rows: dict[str, int]
    late_count: int
    undelivered_count: int
    review_points: int


def sample_shop(as_of: date, orders: int = DEFAULT_ORDERS, *, seed: int = DEFAULT_SEED) -> SampleShop:
    """Generate a shop.

    Args:
        as_of: The shop's last day. A few orders have later dates.
        orders: The number of orders. There are half as many reviews.
        seed: The seed of the random values.
    """
    rng = random.Random(f"{seed} {as_of}")  # noqa: S311 - reproducible, not secret
    order_rows, shipment_rows, late, undelivered = [], [], 0, 0
    for number in range(1, orders + 1):
        day = as_of - timedelta(rng.randrange(-3, _SPAN_DAYS))
        product, price, quantity = rng.randint(1, len(PRODUCTS)), rng.randint(1, 400), rng.randint(1, 10)
        customer = rng.randint(1, CUSTOMERS)
        order_rows.append(f"{number},{customer},{day},{product},{price},{quantity},{price * quantity}")
        shipped, delivered = _shipment(rng, day)
        shipment_rows.append(f"{number},{number},{shipped or ''},{delivered or ''}")
        late += shipped is not None and delivered is None and (shipped - day).days >= LATE_DAYS
        undelivered += shipped is None and (as_of - day).days >= UNDELIVERED_DAYS
    reviews = [(rng.randint(1, 5), rng.randint(1, len(PRODUCTS))) for _ in range(orders // 2)]
    points = Counter[int]()
    for stars, product in reviews:
        points[product] += stars
    files = {
        # Like the real file, this one calls the total `amount` and has no final newline.
        "orders.csv": _csv("order_id,customer_id,order_date,product_id,unit_price,quantity,amount", order_rows)[:-1],
        "reviews.csv": _csv("review,product_id", [*(f"{s},{p}" for s, p in reviews), *_BAD_REVIEWS]),
        "shipment_deliveries.csv": _csv("shipment_id,order_id,shipment_date,delivery_date", shipment_rows),
        "dim_products.csv": _csv(
            "product_id,product_category,product_name",
            (f'{number},things,"{name.replace(chr(34), chr(34) * 2)}"' for number, name in enumerate(PRODUCTS, 1)),
        ),
        "dim_customers.csv": _csv(
            "customer_id,customer_name,postal_code",
            (f"{n},Customer {n},{1000 + n % 7}" for n in range(1, CUSTOMERS + 1)),
        ),
        "dim_addresses.csv": _csv(
            "postal_code,country,region,state,address",
            (f"{1000 + n},Palau,West,Koror,{n} Main Street" for n in range(7)),
        ),
    }
    bad_rows = {name: len(_BAD_REVIEWS) if name == "reviews.csv" else 0 for name in files}
    rows = {
        "orders.csv": orders,
        "reviews.csv": len(reviews) + len(_BAD_REVIEWS),
        "shipment_deliveries.csv": orders,
        "dim_products.csv": len(PRODUCTS),
        "dim_customers.csv": CUSTOMERS,
        "dim_addresses.csv": 7,
    }
    return SampleShop(files, rows, bad_rows, late, undelivered, max(points.values(), default=0))


def _shipment(rng: random.Random, day: date) -> tuple[date | None, date | None]:
    """Return the days of shipment and delivery. They are often missing, or close to the limit for late shipments."""
    if rng.random() < 0.4:
        return None, None
    shipped = day + timedelta(rng.choice((1, 2, LATE_DAYS - 1, LATE_DAYS, LATE_DAYS + 1)))
    return shipped, shipped + timedelta(rng.randint(0, 5)) if rng.random() < 0.7 else None


def _csv(header: str, rows: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in (header, *rows)).encode()


def main(arguments: Sequence[str] | None = None) -> None:
    """Write a shop's files to a folder."""
    parser = argparse.ArgumentParser(
        prog="python -m deployments.samples.commerce", description="Write the files of a sample shop."
    )
    parser.add_argument("as_of", type=date.fromisoformat, help="the shop's last day, YYYY-MM-DD")
    parser.add_argument("folder", type=Path, help="the folder for the files; it is created if it is missing")
    parser.add_argument("--orders", type=int, default=DEFAULT_ORDERS, help=f"orders (default {DEFAULT_ORDERS})")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help=f"seed (default {DEFAULT_SEED})")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, content in sample_shop(options.as_of, options.orders, seed=options.seed).files.items():
        (options.folder / name).write_bytes(content)


if __name__ == "__main__":
    main()
