-- grain: one row of the source that one load brought
-- key: source_table, source_id, last_updated, load_id
-- parameters: none
-- sources: totesys_staging.counterparty, totesys_staging.currency, totesys_staging.department,
--   totesys_staging.design, totesys_staging.staff, totesys_staging.sales_order, totesys_staging.address,
--   totesys_staging.payment, totesys_staging.purchase_order, totesys_staging.payment_type,
--   totesys_staging.transaction
-- write disposition: append
-- rules: each arrival of a version is one row, so that a row of any earlier run can be explained (rejected: only the
--   latest arrival)
SELECT
    -- The branches have the order of the primary key: Postgres builds the index of sorted rows faster.
    'address' AS source_table,
    address_id AS source_id,
    last_updated,
    load_id,
    line_number
FROM totesys_staging.address
UNION ALL
SELECT
    'counterparty' AS source_table,
    counterparty_id AS source_id,
    last_updated,
    load_id,
    line_number
FROM totesys_staging.counterparty
UNION ALL
SELECT
    'currency' AS source_table,
    currency_id AS source_id,
    last_updated,
    load_id,
    line_number
FROM totesys_staging.currency
UNION ALL
SELECT
    'department' AS source_table,
    department_id AS source_id,
    last_updated,
    load_id,
    line_number
FROM totesys_staging.department
UNION ALL
SELECT
    'design' AS source_table,
    design_id AS source_id,
    last_updated,
    load_id,
    line_number
FROM totesys_staging.design
UNION ALL
SELECT
    'payment' AS source_table,
    payment_id AS source_id,
    last_updated,
    load_id,
    line_number
FROM totesys_staging.payment
UNION ALL
SELECT
    'payment_type' AS source_table,
    payment_type_id AS source_id,
    last_updated,
    load_id,
    line_number
FROM totesys_staging.payment_type
UNION ALL
SELECT
    'purchase_order' AS source_table,
    purchase_order_id AS source_id,
    last_updated,
    load_id,
    line_number
FROM totesys_staging.purchase_order
UNION ALL
SELECT
    'sales_order' AS source_table,
    sales_order_id AS source_id,
    last_updated,
    load_id,
    line_number
FROM totesys_staging.sales_order
UNION ALL
SELECT
    'staff' AS source_table,
    staff_id AS source_id,
    last_updated,
    load_id,
    line_number
FROM totesys_staging.staff
UNION ALL
SELECT
    'transaction' AS source_table,
    transaction_id AS source_id,
    last_updated,
    load_id,
    line_number
FROM totesys_staging.transaction
