"""The tables of the Totesys database that are exported, with their columns and keys."""

from tasks.contracts.expectations import Within
from tasks.contracts.settings import Setting, at_least
from tasks.contracts.source import Source
from tasks.contracts.source_table import SourceTable


def _table(name: str, *columns: str) -> SourceTable:
    return SourceTable(name, columns[0], (*columns, "created_at", "last_updated"))


SOURCE_TABLES = (
    _table(
        "counterparty",
        "counterparty_id",
        "counterparty_legal_name",
        "legal_address_id",
        "commercial_contact",
        "delivery_contact",
    ),
    _table("currency", "currency_id", "currency_code"),
    _table("department", "department_id", "department_name", "location", "manager"),
    _table("design", "design_id", "design_name", "file_location", "file_name"),
    _table("staff", "staff_id", "first_name", "last_name", "department_id", "email_address"),
    _table(
        "sales_order",
        "sales_order_id",
        "design_id",
        "staff_id",
        "counterparty_id",
        "units_sold",
        "unit_price",
        "currency_id",
        "agreed_delivery_date",
        "agreed_payment_date",
        "agreed_delivery_location_id",
    ),
    _table(
        "address",
        "address_id",
        "address_line_1",
        "address_line_2",
        "district",
        "city",
        "postal_code",
        "country",
        "phone",
    ),
    _table(
        "payment",
        "payment_id",
        "transaction_id",
        "counterparty_id",
        "payment_amount",
        "currency_id",
        "payment_type_id",
        "paid",
        "payment_date",
        "company_ac_number",
        "counterparty_ac_number",
    ),
    _table(
        "purchase_order",
        "purchase_order_id",
        "staff_id",
        "counterparty_id",
        "item_code",
        "item_quantity",
        "item_unit_price",
        "currency_id",
        "agreed_delivery_date",
        "agreed_payment_date",
        "agreed_delivery_location_id",
    ),
    _table("payment_type", "payment_type_id", "payment_type_name"),
    _table("transaction", "transaction_id", "transaction_type", "sales_order_id", "purchase_order_id"),
)
"""All tables, in the order of the specification. `_prisma_migrations` is not among them and is never read."""

TOTESYS_SOURCE = Source(
    "totesys",
    SOURCE_TABLES,
    csv_bucket=Setting("TOTESYS_CSV_BUCKET", "totesys-csv", "Bucket for the extracted CSV files", at_least(3)),
    parquet_bucket=Setting("TOTESYS_PARQUET_BUCKET", "totesys-parquet", "Bucket for the parquet files", at_least(3)),
    expected=Within(minutes=30),
)
"""The Totesys database."""
