-- grain: one currency
-- sources: totesys_staging.currency
SELECT currency_id
FROM totesys_staging.currency
UNION ALL
SELECT currency_id
FROM totesys_warehouse.dim_currency
