-- grain: one product
-- key: product_id
-- parameters: none
-- sources: commerce_staging.dim_products
-- write disposition: fill shared table
-- rules: rows that another owner wrote stay, even if rows were delivered (rejected: replacing them; adding to them)
SELECT
    product_id,
    product_category,
    product_name
FROM commerce_staging.dim_products
