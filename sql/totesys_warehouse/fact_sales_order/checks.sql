-- fail: staged versions are neither in the table nor waiting in the quarantine
SELECT
    staged.sales_order_id,
    staged.last_updated
FROM totesys_staging.sales_order AS staged
WHERE
    NOT EXISTS (
        SELECT 1
        FROM totesys_warehouse.fact_sales_order AS fact
        WHERE
            fact.sales_order_id = staged.sales_order_id
            -- One comparison of timestamps takes a third less time than comparisons of dates and of times.
            AND fact.last_updated_date + fact.last_updated_time = staged.last_updated
    )
    AND NOT EXISTS (
        SELECT 1
        FROM totesys_warehouse.quarantine
        WHERE
            quarantine.source_table = 'sales_order' AND quarantine.is_waiting
            AND quarantine.source_id = staged.sales_order_id
            AND quarantine.last_updated = staged.last_updated
    );
