"""The expected answers for a shop's files, computed independently in polars, to compare with the pipeline's SQL.

It shares no code with the pipeline. Frames are typed by `read_shop`, or come typed from a test.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
STARS = ("one", "two", "three", "four", "five")
SCHEMAS = {
    "orders": {"order_id": pl.Int32, "product_id": pl.Int32, "order_date": pl.Date, "quantity": pl.Int32},
    "reviews": {"review": pl.Int32, "product_id": pl.Int32},
    "shipment_deliveries": {
        "shipment_id": pl.Int32,
        "order_id": pl.Int32,
        "shipment_date": pl.Date,
        "delivery_date": pl.Date,
    },
    "dim_products": {"product_id": pl.Int32, "product_name": pl.String},
    "dim_dates": {"calendar_dt": pl.Date, "day_of_the_week_num": pl.Int32, "working_day": pl.Boolean},
}


@dataclass(frozen=True)
class Shop:
    """The frames of a shop, with the columns of `SCHEMAS`."""

    orders: pl.DataFrame
    reviews: pl.DataFrame
    shipment_deliveries: pl.DataFrame
    dim_products: pl.DataFrame
    dim_dates: pl.DataFrame


def read_shop(files: Mapping[str, bytes], calendar: pl.DataFrame) -> Shop:
    """Convert the files of a shop to typed frames, by table; without a products file, products are empty."""
    frames = {
        name: pl.read_csv(io.BytesIO(files[name]), schema_overrides=schema).select(list(schema))
        if name in files
        else pl.DataFrame(schema=schema)
        for name, schema in SCHEMAS.items()
        if name != "dim_dates"
    }
    return Shop(**frames, dim_dates=calendar.select(pl.col(n).cast(t) for n, t in SCHEMAS["dim_dates"].items()))


def answers(shop: Shop, as_of: date) -> dict[str, dict[str, Any]]:
    """The one row of each of the three tables, by table."""
    return {
        "agg_public_holiday": {"ingestion_date": as_of} | public_holiday_orders(shop, as_of),
        "agg_shipments": {"ingestion_date": as_of} | open_shipments(shop, as_of),
        "best_performing_product": {"ingestion_date": as_of} | best_product(shop),
    }


def _public_holidays(shop: Shop) -> pl.Series:
    is_weekday = pl.col("day_of_the_week_num") <= 5
    return shop.dim_dates.filter(is_weekday & ~pl.col("working_day"))["calendar_dt"]


def public_holiday_orders(shop: Shop, as_of: date) -> dict[str, int]:
    """Orders on public holidays in the year up to the as-of date, by month."""
    since = pl.Series([as_of]).dt.offset_by("-1y").item()
    days = shop.orders["order_date"]
    hits = days.filter((days > since) & (days <= as_of) & days.is_in(_public_holidays(shop).implode()))
    return {f"tt_order_hol_{name}": (hits.dt.month() == number).sum() for number, name in enumerate(MONTHS, 1)}


def _with_orders(shop: Shop) -> pl.DataFrame:
    return shop.shipment_deliveries.join(shop.orders, on="order_id", how="inner").with_columns(
        lag=(pl.col("shipment_date") - pl.col("order_date")).dt.total_days()
    )


def open_shipments(shop: Shop, as_of: date) -> dict[str, int]:
    """Late shipments, and orders that were never shipped."""
    shipments = _with_orders(shop)
    is_open = pl.col("delivery_date").is_null()
    age = (pl.lit(as_of) - pl.col("order_date")).dt.total_days()
    return {
        "tt_late_shipments": shipments.filter(is_open & (pl.col("lag") > 5)).height,
        "tt_undelivered_items": shipments.filter(is_open & pl.col("shipment_date").is_null() & (age > 14)).height,
    }


def best_product(shop: Shop) -> dict[str, Any]:
    """The product with the most review points."""
    ranks = shop.reviews.group_by("product_id").agg(points=pl.col("review").sum(), count=pl.len())
    ranked = ranks.sort(["points", "count", "product_id"], descending=[True, True, False])
    product = ranked["product_id"].first() if ranked.height else None
    stars = shop.reviews.filter(pl.col("product_id") == product)["review"].to_list() if ranked.height else []
    names = dict(shop.dim_products.select("product_id", "product_name").iter_rows())
    day = _most_ordered_day(shop.orders.filter(pl.col("product_id") == product)) if ranked.height else None
    early, late = _shipment_shares(_with_orders(shop), product)
    return {
        "product_name": names.get(product),
        "most_ordered_day": day,
        "is_public_holiday": day in set(_public_holidays(shop)) if day in set(shop.dim_dates["calendar_dt"]) else None,
        "tt_review_points": sum(stars) if stars else None,
        **{
            f"pct_{name}_star_review": 100 * stars.count(points) / len(stars) if stars else None
            for points, name in enumerate(STARS, 1)
        },
        "pct_early_shipments": early,
        "pct_late_shipments": late,
    }


def _most_ordered_day(orders: pl.DataFrame) -> date | None:
    days: dict[date, tuple[int, int]] = {}
    for day, quantity in orders.select("order_date", "quantity").iter_rows():
        count, total = days.get(day, (0, 0))
        days[day] = (count + 1, total + (quantity or 0))
    return min(days, key=lambda day: (-days[day][0], -days[day][1], day), default=None)


def _shipment_shares(shipments: pl.DataFrame, product: int | None) -> tuple[float | None, float | None]:
    shipped = shipments.filter(pl.col("shipment_date").is_not_null())
    own = [
        (lag, delivered)
        for p, lag, delivered in shipped.select("product_id", "lag", "delivery_date").iter_rows()
        if p == product
    ]
    late = sum(lag >= 6 and delivered is None for lag, delivered in own)
    return (100 * (len(own) - late) / len(own), 100 * late / len(own)) if own else (None, None)
