-- grain: one customer
-- key: customer_id
-- parameters: none
-- sources: commerce_staging.dim_customers
-- write disposition: fill shared table
-- rules: rows that another owner wrote stay, even if rows were delivered (rejected: replacing them; adding to them)
SELECT
    customer_id,
    customer_name,
    postal_code
FROM commerce_staging.dim_customers
