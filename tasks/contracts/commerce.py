"""Contracts of `commerce`: a shop's orders, reviews and shipments, and its optional reference tables."""

from tasks.contracts import Column, Contract
from tasks.contracts.expectations import Expected
from tasks.contracts.settings import Setting, at_least
from tasks.contracts.types import DATE, INTEGER, NUMERIC, TEXT, ColumnType

_FLAGS = {"true": "true", "t": "true", "1": "true", "false": "false", "f": "false", "0": "false"}


def points_of(text: str) -> str | None:
    """Review points: 1, 2, 3, 4 or 5."""
    return text if text in {"1", "2", "3", "4", "5"} else None


def flag_of(text: str) -> str | None:
    """A truth value as Postgres and Python write it."""
    return _FLAGS.get(text.lower())


POINTS = ColumnType("integer", "points from 1 to 5", points_of)
FLAG = ColumnType("boolean", "true or false, t or f, 1 or 0", flag_of)
PRICE = NUMERIC(14, 2)
PREFIX = Setting("COMMERCE_PREFIX", "orders_data/", "Prefix of the keys of the shop's files")
COUNTRY = Setting("COMMERCE_COUNTRY", "US", "Country of the holidays, ISO 3166", at_least(2))


def _staged(
    dataset: str, description: str, *columns: Column, keys: tuple[str, ...], is_optional: bool = False
) -> Contract:
    return Contract(
        dataset=f"commerce_{dataset}",
        table=f"commerce_staging.{dataset}",
        description=description,
        columns=columns,
        prefix=PREFIX,
        keys=keys,
        is_optional=is_optional,
        # A day's files arrive in the following night. An optional file may never arrive.
        expected=None if is_optional else Expected(days=1),
    )


ORDERS = _staged(
    "orders",
    "One row per order.",
    Column("order_id", INTEGER, "Identifier of the order.", nullable=False),
    Column("customer_id", INTEGER, "Customer; see if_common.dim_customers."),
    Column("order_date", DATE, "Day of the order.", nullable=False),
    Column("product_id", INTEGER, "Product; see if_common.dim_products.", nullable=False),
    Column("unit_price", PRICE, "Price of one piece, in the shop's currency."),
    Column("quantity", INTEGER, "Number of pieces."),
    Column("total_price", PRICE, "Price of all pieces, in the shop's currency.", aliases=("amount",)),
    keys=("orders.csv",),
)
REVIEWS = _staged(
    "reviews",
    "One row per review; reviews have no key and may repeat.",
    Column("review", POINTS, "Points from 1 (worst) to 5 (best).", nullable=False),
    Column("product_id", INTEGER, "Product that was reviewed.", nullable=False),
    keys=("reviews.csv",),
)
SHIPMENT_DELIVERIES = _staged(
    "shipment_deliveries",
    "One row per shipment; each order has one shipment.",
    Column("shipment_id", INTEGER, "Identifier of the shipment.", nullable=False),
    Column("order_id", INTEGER, "Order of the shipment.", nullable=False),
    Column("shipment_date", DATE, "Day of the shipment; null until then."),
    Column("delivery_date", DATE, "Day of the delivery; null until then."),
    keys=("shipment_deliveries.csv", "shipments_deliveries.csv"),
)
DIM_CUSTOMERS = _staged(
    "dim_customers",
    "One row per customer, as delivered.",
    Column("customer_id", INTEGER, "Identifier of the customer.", nullable=False),
    Column("customer_name", TEXT, "Name of the customer.", sensitive=True),
    Column("postal_code", INTEGER, "Postal code of the customer; see if_common.dim_addresses.", sensitive=True),
    keys=("dim_customers.csv",),
    is_optional=True,
)
DIM_PRODUCTS = _staged(
    "dim_products",
    "One row per product, as delivered.",
    Column("product_id", INTEGER, "Identifier of the product.", nullable=False),
    Column("product_category", TEXT, "Category of the product."),
    Column("product_name", TEXT, "Name of the product."),
    keys=("dim_products.csv",),
    is_optional=True,
)
DIM_ADDRESSES = _staged(
    "dim_addresses",
    "One row per postal code, as delivered.",
    Column("postal_code", INTEGER, "Postal code.", nullable=False, sensitive=True),
    Column("country", TEXT, "Country of the address."),
    Column("region", TEXT, "Region of the address."),
    Column("state", TEXT, "State of the address."),
    Column("address", TEXT, "Address.", sensitive=True),
    keys=("dim_addresses.csv",),
    is_optional=True,
)
DIM_DATES = _staged(
    "dim_dates",
    "One row per day of a calendar, as delivered.",
    Column("calendar_dt", DATE, "Day.", nullable=False),
    Column("year_num", INTEGER, "Year of the day."),
    Column("month_of_the_year_num", INTEGER, "Month of the day, 1 to 12."),
    Column("day_of_the_month_num", INTEGER, "Day of the month, 1 to 31."),
    Column("day_of_the_week_num", INTEGER, "Day of the week, 1 = Monday to 7 = Sunday.", nullable=False),
    Column("working_day", FLAG, "Whether the day is a working day; weekends are not.", nullable=False),
    keys=("dim_dates.csv",),
    is_optional=True,
)

COMMERCE = (ORDERS, REVIEWS, SHIPMENT_DELIVERIES, DIM_CUSTOMERS, DIM_PRODUCTS, DIM_ADDRESSES, DIM_DATES)
"""All contracts: the required objects come first, then the optional ones."""
