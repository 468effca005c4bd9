-- grain: one transaction: a sale or a purchase
-- key: transaction_id
-- parameters: none
-- sources: totesys_staging.transaction
-- write disposition: merge by (transaction_id)
-- rules: the row of the latest run that brought it counts; a row that is gone from the source stays (rejected: deleting
--   it, which would take the key from facts)
SELECT
    transaction_id,
    transaction_type,
    sales_order_id,
    purchase_order_id
FROM totesys_staging.transaction
