"""Contracts of `totesys`: the tables of an ERP. A staging table holds the parquet object of the latest run.

An object `input/{run_number}/{table}.parquet` holds the rows that changed since the previous run. In staging it
replaces the object of the previous run. Tally therefore builds the tables of a run before it loads the next run.
"""

from tasks.contracts import Column, Contract
from tasks.contracts.histories import History
from tasks.contracts.types import BOOLEAN, DATE, INTEGER, NUMERIC, TEXT, TIMESTAMP_MS, ColumnType

MONEY = NUMERIC(10, 2)


def _id(name: str, description: str) -> Column:
    return Column(name, INTEGER, description, nullable=False)


def _required(name: str, type_: ColumnType, description: str) -> Column:
    return Column(name, type_, description, nullable=False)


def _staged(table: str, description: str, *columns: Column) -> Contract:
    return Contract(
        dataset=f"totesys_{table}",
        table=f"totesys_staging.{table}",
        description=description,
        columns=(
            *columns,
            _required("created_at", TIMESTAMP_MS, "When the source created the row, by the source's clock."),
            _required("last_updated", TIMESTAMP_MS, "When the source changed the row last; identifies the version."),
        ),
        # Each run brings the changed rows. Their number does not depend on the number of an earlier run.
        may_shrink=True,
        volume=None,
    )


COUNTERPARTY = _staged(
    "counterparty",
    "One row per business partner that changed.",
    _id("counterparty_id", "Identifier of the business partner."),
    Column("counterparty_legal_name", TEXT, "Registered name."),
    Column("legal_address_id", INTEGER, "Registered address; see address."),
    Column("commercial_contact", TEXT, "Contact for sales.", sensitive=True),
    Column("delivery_contact", TEXT, "Contact for deliveries.", sensitive=True),
)
CURRENCY = _staged(
    "currency",
    "One row per currency that changed.",
    _id("currency_id", "Identifier of the currency."),
    Column("currency_code", TEXT, "ISO 4217 code."),
)
DEPARTMENT = _staged(
    "department",
    "One row per department that changed.",
    _id("department_id", "Identifier of the department."),
    Column("department_name", TEXT, "Name of the department."),
    Column("location", TEXT, "Location of the department."),
    Column("manager", TEXT, "Manager of the department.", sensitive=True),
)
DESIGN = _staged(
    "design",
    "One row per design of a bag that changed.",
    _id("design_id", "Identifier of the design."),
    Column("design_name", TEXT, "Name of the design."),
    Column("file_location", TEXT, "Folder of the design's file."),
    Column("file_name", TEXT, "Name of the design's file."),
)
STAFF = _staged(
    "staff",
    "One row per staff member that changed.",
    _id("staff_id", "Identifier of the staff member."),
    Column("first_name", TEXT, "First name.", sensitive=True),
    Column("last_name", TEXT, "Last name.", sensitive=True),
    Column("department_id", INTEGER, "Department; see department."),
    Column("email_address", TEXT, "E-mail address.", sensitive=True),
)
SALES_ORDER = _staged(
    "sales_order",
    "One row per sales order that changed.",
    _id("sales_order_id", "Identifier of the order."),
    _id("design_id", "Design that was sold; see design."),
    _id("staff_id", "Staff member who made the sale; see staff."),
    _id("counterparty_id", "Business partner who buys; see counterparty."),
    _required("units_sold", INTEGER, "Number of pieces."),
    _required("unit_price", MONEY, "Price of one piece in the currency."),
    _id("currency_id", "Currency of the price; see currency."),
    _required("agreed_delivery_date", DATE, "Agreed date of the delivery."),
    _required("agreed_payment_date", DATE, "Agreed date of the payment."),
    _id("agreed_delivery_location_id", "Agreed place of the delivery; see address."),
)
ADDRESS = _staged(
    "address",
    "One row per address that changed.",
    _id("address_id", "Identifier of the address."),
    Column("address_line_1", TEXT, "First line.", sensitive=True),
    Column("address_line_2", TEXT, "Second line.", sensitive=True),
    Column("district", TEXT, "District.", sensitive=True),
    Column("city", TEXT, "City.", sensitive=True),
    Column("postal_code", TEXT, "Postal code.", sensitive=True),
    Column("country", TEXT, "Country."),
    Column("phone", TEXT, "Telephone number.", sensitive=True),
)
PAYMENT = _staged(
    "payment",
    "One row per payment that changed.",
    _id("payment_id", "Identifier of the payment."),
    _id("transaction_id", "Transaction that is paid; see transaction."),
    _id("counterparty_id", "Business partner who pays or is paid; see counterparty."),
    _required("payment_amount", MONEY, "Amount in the currency."),
    _id("currency_id", "Currency of the amount; see currency."),
    _id("payment_type_id", "Kind of payment; see payment_type."),
    _required("paid", BOOLEAN, "Whether the payment was made."),
    Column("payment_date", DATE, "Date of the payment; null if there is none yet."),
    Column("company_ac_number", TEXT, "Account number of the company.", sensitive=True),
    Column("counterparty_ac_number", TEXT, "Account number of the business partner.", sensitive=True),
)
PURCHASE_ORDER = _staged(
    "purchase_order",
    "One row per purchase order that changed.",
    _id("purchase_order_id", "Identifier of the order."),
    _id("staff_id", "Staff member who ordered; see staff."),
    _id("counterparty_id", "Business partner who delivers; see counterparty."),
    _required("item_code", TEXT, "Code of the item."),
    _required("item_quantity", INTEGER, "Number of pieces."),
    _required("item_unit_price", MONEY, "Price of one piece in the currency."),
    _id("currency_id", "Currency of the price; see currency."),
    _required("agreed_delivery_date", DATE, "Agreed date of the delivery."),
    _required("agreed_payment_date", DATE, "Agreed date of the payment."),
    _id("agreed_delivery_location_id", "Agreed place of the delivery; see address."),
)
PAYMENT_TYPE = _staged(
    "payment_type",
    "One row per kind of payment that changed.",
    _id("payment_type_id", "Identifier of the kind of payment."),
    Column("payment_type_name", TEXT, "Name of the kind of payment."),
)
TRANSACTION = _staged(
    "transaction",
    "One row per transaction that changed.",
    _id("transaction_id", "Identifier of the transaction."),
    Column("transaction_type", TEXT, "SALE or PURCHASE."),
    Column("sales_order_id", INTEGER, "Sales order of a sale."),
    Column("purchase_order_id", INTEGER, "Purchase order of a purchase."),
)

TOTESYS = (
    COUNTERPARTY,
    CURRENCY,
    DEPARTMENT,
    DESIGN,
    STAFF,
    SALES_ORDER,
    ADDRESS,
    PAYMENT,
    PURCHASE_ORDER,
    PAYMENT_TYPE,
    TRANSACTION,
)
"""All contracts, in the order of the source's tables."""


def _history(contract: Contract, row_id: str) -> History:
    name = contract.table.split(".")[1]
    return History(contract, f"totesys_warehouse.fact_{name}", f"{name}_id", row_id, "totesys_warehouse.quarantine")


HISTORIES = (
    _history(SALES_ORDER, "sales_record_id"),
    _history(PURCHASE_ORDER, "purchase_record_id"),
    _history(PAYMENT, "payment_record_id"),
)
"""The fact tables, which keep every version of a source row."""
