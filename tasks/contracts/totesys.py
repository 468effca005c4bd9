"""Contracts of `totesys`: the tables of an ERP, each fed by the parquet object of the latest run that brought it.

An object `input/{run_number}/{table}.parquet` holds the rows that changed up to its run; it supersedes the one before
in staging. A run that is under way is therefore built before another one is loaded.
"""

from tasks.contracts import Column, Contract
from tasks.contracts.histories import History
from tasks.contracts.types import BOOLEAN, DATE, INTEGER, NUMERIC, TEXT, TIMESTAMP_MS, ColumnType

MONEY = NUMERIC(10, 2)


def _id(name: str, description: str) -> Column:
    return Column(name, INTEGER, description, nullable=False)


def _wanted(name: str, type_: ColumnType, description: str) -> Column:
    return Column(name, type_, description, nullable=False)


def _staged(table: str, description: str, *columns: Column) -> Contract:
    return Contract(
        dataset=f"totesys_{table}",
        table=f"totesys_staging.{table}",
        description=description,
        columns=(
            *columns,
            _wanted("created_at", TIMESTAMP_MS, "When the row was created, by the source's clock."),
            _wanted("last_updated", TIMESTAMP_MS, "When the row was changed last: its version."),
        ),
        prefix_setting="",
    )


COUNTERPARTY = _staged(
    "counterparty",
    "One row per business partner that changed.",
    _id("counterparty_id", "Identifier of the partner."),
    Column("counterparty_legal_name", TEXT, "Registered name."),
    Column("legal_address_id", INTEGER, "Registered address; see address."),
    Column("commercial_contact", TEXT, "Whom to talk to about sales."),
    Column("delivery_contact", TEXT, "Whom to talk to about deliveries."),
)
CURRENCY = _staged(
    "currency",
    "One row per currency that changed.",
    _id("currency_id", "Identifier of the currency."),
    Column("currency_code", TEXT, "ISO 4217 code of three letters."),
)
DEPARTMENT = _staged(
    "department",
    "One row per department that changed.",
    _id("department_id", "Identifier of the department."),
    Column("department_name", TEXT, "Name of the department."),
    Column("location", TEXT, "Where it sits."),
    Column("manager", TEXT, "Who leads it."),
)
DESIGN = _staged(
    "design",
    "One row per design of a bag that changed.",
    _id("design_id", "Identifier of the design."),
    Column("design_name", TEXT, "Name of the design."),
    Column("file_location", TEXT, "Folder of its file."),
    Column("file_name", TEXT, "Name of its file."),
)
STAFF = _staged(
    "staff",
    "One row per member of staff that changed.",
    _id("staff_id", "Identifier of the member."),
    Column("first_name", TEXT, "First name."),
    Column("last_name", TEXT, "Last name."),
    Column("department_id", INTEGER, "Department; see department."),
    Column("email_address", TEXT, "Address of electronic mail."),
)
SALES_ORDER = _staged(
    "sales_order",
    "One row per sales order that changed.",
    _id("sales_order_id", "Identifier of the order."),
    _id("design_id", "What was sold; see design."),
    _id("staff_id", "Who sold it; see staff."),
    _id("counterparty_id", "Who bought it; see counterparty."),
    _wanted("units_sold", INTEGER, "How many pieces."),
    _wanted("unit_price", MONEY, "Price of one piece, in the currency."),
    _id("currency_id", "Currency of the price; see currency."),
    _wanted("agreed_delivery_date", DATE, "Day of the delivery, as agreed."),
    _wanted("agreed_payment_date", DATE, "Day of the payment, as agreed."),
    _id("agreed_delivery_location_id", "Where to, as agreed; see address."),
)
ADDRESS = _staged(
    "address",
    "One row per address that changed.",
    _id("address_id", "Identifier of the address."),
    Column("address_line_1", TEXT, "First line."),
    Column("address_line_2", TEXT, "Second line."),
    Column("district", TEXT, "District."),
    Column("city", TEXT, "City."),
    Column("postal_code", TEXT, "Postal code."),
    Column("country", TEXT, "Country."),
    Column("phone", TEXT, "Telephone number."),
)
PAYMENT = _staged(
    "payment",
    "One row per payment that changed.",
    _id("payment_id", "Identifier of the payment."),
    _id("transaction_id", "What it is for; see transaction."),
    _id("counterparty_id", "Who pays or is paid; see counterparty."),
    _wanted("payment_amount", MONEY, "How much, in the currency."),
    _id("currency_id", "Currency of the amount; see currency."),
    _id("payment_type_id", "Kind of the payment; see payment_type."),
    _wanted("paid", BOOLEAN, "Whether it was made."),
    Column("payment_date", DATE, "Day of the payment; nothing where there is none yet."),
    Column("company_ac_number", TEXT, "Account of the company."),
    Column("counterparty_ac_number", TEXT, "Account of the partner."),
)
PURCHASE_ORDER = _staged(
    "purchase_order",
    "One row per purchase order that changed.",
    _id("purchase_order_id", "Identifier of the order."),
    _id("staff_id", "Who ordered; see staff."),
    _id("counterparty_id", "Who delivers; see counterparty."),
    _wanted("item_code", TEXT, "What was ordered."),
    _wanted("item_quantity", INTEGER, "How many pieces."),
    _wanted("item_unit_price", MONEY, "Price of one piece, in the currency."),
    _id("currency_id", "Currency of the price; see currency."),
    _wanted("agreed_delivery_date", DATE, "Day of the delivery, as agreed."),
    _wanted("agreed_payment_date", DATE, "Day of the payment, as agreed."),
    _id("agreed_delivery_location_id", "Where to, as agreed; see address."),
)
PAYMENT_TYPE = _staged(
    "payment_type",
    "One row per kind of payments that changed.",
    _id("payment_type_id", "Identifier of the kind."),
    Column("payment_type_name", TEXT, "Name of the kind."),
)
TRANSACTION = _staged(
    "transaction",
    "One row per transaction that changed.",
    _id("transaction_id", "Identifier of the transaction."),
    Column("transaction_type", TEXT, "SALE or PURCHASE."),
    Column("sales_order_id", INTEGER, "The sales order, of a sale."),
    Column("purchase_order_id", INTEGER, "The purchase order, of a purchase."),
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
"""All of them, in the order of the source's tables."""


def _history(contract: Contract, row_id: str) -> History:
    name = contract.table.split(".")[1]
    return History(contract, f"totesys_warehouse.fact_{name}", f"{name}_id", row_id, "totesys_warehouse.quarantine")


HISTORIES = (
    _history(SALES_ORDER, "sales_record_id"),
    _history(PURCHASE_ORDER, "purchase_record_id"),
    _history(PAYMENT, "payment_record_id"),
)
"""The facts, which keep every version of their rows."""
