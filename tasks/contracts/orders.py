"""Contract of `orders`: a shop's orders as the daily JSON files deliver them (specs: pipeline `orders`).

Identifiers, times and the columns that other tables derive from have strict types. The other columns are text as
delivered, so that an unexpected value in them rejects no order.
"""

import re
from typing import Annotated

import msgspec

from tasks.contracts import UNKNOWN_KEYS, Column, Contract, Partition
from tasks.contracts.expectations import Expected
from tasks.contracts.jsonb import JSONB, sound_json
from tasks.contracts.settings import Setting
from tasks.contracts.types import BIGINT, BOOLEAN, DATE, NUMERIC, TEXT, TIMESTAMPTZ, ColumnType

_BLANKS = r"[ \t\n\v\f\r]*"

# The spellings that `timestamptz` takes: Z, UTC, or a sign with hours and perhaps minutes and seconds.
_OFFSET = re.compile(
    r"[Tt ][0-9]{2}:[0-9:.,]+ *(?:[Zz]|[Uu][Tt][Cc]|([+-])([0-9]{1,2}?)(?::?([0-9]{2}))?(?::([0-9]{2}))?)"
    rf"{_BLANKS}\Z"
)

# Numbers in quotes are valid, too, as in the other fields of an order.
_Int32 = (
    Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
    | Annotated[str, msgspec.Meta(pattern=rf"^{_BLANKS}[+-]?[0-9]{{1,9}}{_BLANKS}$")]
)
_Int64 = (
    Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
    | Annotated[str, msgspec.Meta(pattern=rf"^{_BLANKS}[+-]?[0-9]{{1,18}}{_BLANKS}$")]
)


class _LineItem(msgspec.Struct):
    """The keys of a line item that `sql/orders_core/order_details` reads. Other keys stay in the JSON."""

    id: _Int64 | None = None
    variant_id: _Int64 | None = None
    product_id: _Int64 | None = None
    quantity: _Int32 | None = None


_decode_line_items = msgspec.json.Decoder(list[_LineItem]).decode


def sound_line_items(text: str) -> str | None:
    """Return a JSON array of line items unchanged if its ids and quantities are whole numbers or null, else None."""
    try:
        _decode_line_items(text)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError):
        return None
    return sound_json(text)


def offset_of(text: str) -> str | None:
    """The offset from UTC in the text of a date-time, such as `-05:00`; None if the text has none."""
    found = _OFFSET.search(text)
    if not found:
        return None
    sign, hours, minutes, seconds = found.groups(default="00")
    return f"{sign}{hours:0>2}:{minutes}" + (f":{seconds}" if seconds != "00" else "") if found[1] else "+00:00"


MONEY = NUMERIC(14, 2, rounded=True)
WEIGHT = NUMERIC(18, 3, rounded=True)
OFFSET = ColumnType("text", "a date-time with an offset", offset_of)
LINE_ITEMS = ColumnType(
    "jsonb", "an array of line items, their id, variant_id, product_id and quantity whole numbers", sound_line_items
)

INPUT_PREFIX = Setting("ORDERS_INPUT_PREFIX", "Input/", "Prefix of the keys of the daily files")
OUTPUT_PREFIX = Setting("ORDERS_OUTPUT_PREFIX", "Output/", "Prefix of the keys of the CSV files")

ORDERS = Contract(
    dataset="orders",
    table="orders_staging.orders_raw",
    description="One row per order and file, as delivered: every version of an order, including test orders.",
    columns=(
        Column("id", BIGINT, "Identifier of the order.", nullable=False),
        Column("email", TEXT, "E-mail address of the customer; may be null or empty.", sensitive=True),
        Column("closed_at", TIMESTAMPTZ, "Instant when the order was closed."),
        Column("created_at", TIMESTAMPTZ, "Instant when the order was placed.", nullable=False),
        Column(
            "order_date",
            DATE,
            "Local date of the order: the date in the text of created_at.",
            source="created_at",
            first=10,
            nullable=False,
        ),
        Column(
            "utc_offset",
            OFFSET,
            "Offset in the text of created_at: created_at AT TIME ZONE utc_offset::interval is the local time.",
            source="created_at",
        ),
        Column(
            "updated_at",
            TIMESTAMPTZ,
            "Instant of the last change to the order, which identifies the version.",
            nullable=False,
        ),
        Column("number", BIGINT, "Number of the order in the shop."),
        Column("note", TEXT, "Note of the customer.", sensitive=True),
        Column("token", TEXT, "Token of the order.", sensitive=True),
        Column("gateway", TEXT, "Payment gateway."),
        Column("test", BOOLEAN, "Whether it is a test order.", nullable=False),
        Column("total_price", MONEY, "Price of the order: the subtotal, plus taxes that it does not include."),
        Column("subtotal_price", MONEY, "Price of the line items after discounts."),
        Column("total_weight", WEIGHT, "Weight of the line items, in grams."),
        Column("total_tax", MONEY, "Taxes."),
        Column("taxes_included", BOOLEAN, "Whether the subtotal includes the taxes."),
        Column("currency", TEXT, "Currency of the prices, ISO 4217."),
        Column("financial_status", TEXT, "Status of the payment."),
        Column("confirmed", BOOLEAN, "Whether the order was confirmed."),
        Column("total_discounts", MONEY, "Discounts on the order."),
        Column("total_line_items_price", MONEY, "Price of the line items before discounts."),
        Column("cart_token", TEXT, "Token of the cart.", sensitive=True),
        Column("buyer_accepts_marketing", BOOLEAN, "Whether the customer accepts marketing."),
        Column("name", TEXT, "Name of the order."),
        Column("referring_site", TEXT, "Site that the customer came from.", sensitive=True),
        Column("landing_site", TEXT, "Page where the customer arrived.", sensitive=True),
        Column("cancelled_at", TIMESTAMPTZ, "Instant when the order was cancelled."),
        Column("cancel_reason", TEXT, "Reason for the cancellation."),
        Column("total_price_usd", MONEY, "Price of the order in US dollars."),
        Column("checkout_token", TEXT, "Token of the checkout.", sensitive=True),
        Column("reference", TEXT, "Reference, as delivered."),
        Column("user_id", BIGINT, "Staff member who took the order at the till."),
        Column("location_id", BIGINT, "Shop that took the order."),
        Column("source_identifier", TEXT, "Identifier of the order in its source."),
        Column("source_url", TEXT, "Address of the source of the order."),
        Column("processed_at", TIMESTAMPTZ, "Instant when the order was processed."),
        Column("device_id", BIGINT, "Device that took the order."),
        Column("phone", TEXT, "Telephone number of the customer; may be null or empty.", sensitive=True),
        Column("customer_locale", TEXT, "Language of the customer."),
        Column("app_id", BIGINT, "Program that took the order."),
        Column("browser_ip", TEXT, "Address of the customer's browser, as delivered.", sensitive=True),
        Column("landing_site_ref", TEXT, "Reference in the page where the customer arrived."),
        Column("order_number", BIGINT, "Number of the order as the customer sees it."),
        Column("processing_method", TEXT, "How the payment was processed."),
        Column("checkout_id", BIGINT, "Checkout of an online order; null at the till."),
        Column("source_name", TEXT, "Source of the order, such as pos or web."),
        Column("fulfillment_status", TEXT, "Status of the delivery."),
        Column("tags", TEXT, "Tags of the order, as delivered."),
        Column("contact_email", TEXT, "E-mail address for questions about the order.", sensitive=True),
        Column("order_status_url", TEXT, "Page with the status of the order.", sensitive=True),
        Column("line_items", LINE_ITEMS, "Array of line items."),
        Column("total_discount", MONEY, "Discount on the order, as delivered."),
        Column(
            "unknown_keys",
            JSONB,
            "Keys that this contract does not name, with their values.",
            source=UNKNOWN_KEYS,
            sensitive=True,
        ),
    ),
    prefix=INPUT_PREFIX,
    key="{year:04d}-{month:02d}-{day:02d}.json",
    partition=Partition(column="file_date", unit="day", span="year"),
    records_key="orders",
    indexes=(("id",),),
    expected=Expected(days=1),  # by 10:00 UTC of the following day
)
