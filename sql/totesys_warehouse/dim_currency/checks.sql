-- warn: currencies have no name in ISO 4217
SELECT
    currency_id,
    currency_code
FROM totesys_warehouse.dim_currency
WHERE currency_name IS NULL;
