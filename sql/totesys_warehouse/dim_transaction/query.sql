-- grain: one transaction: a sale or a purchase
-- key: transaction_id
-- parameters: none
-- sources: totesys_staging.transaction
-- write disposition: merge by (transaction_id)
-- rules: a staged row replaces the earlier row; a row that the source deleted stays (rejected: deleting it, which would
--   break the foreign keys of facts)
SELECT
    transaction_id,
    transaction_type,
    sales_order_id,
    purchase_order_id
FROM totesys_staging.transaction
