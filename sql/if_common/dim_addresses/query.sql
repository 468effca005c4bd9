-- grain: one postal code
-- key: postal_code
-- parameters: none
-- sources: commerce_staging.dim_addresses
-- write disposition: fill shared table
-- rules: rows that another owner wrote stay, even if rows were delivered (rejected: replacing them; adding to them)
SELECT
    postal_code,
    country,
    region,
    state,
    address
FROM commerce_staging.dim_addresses
