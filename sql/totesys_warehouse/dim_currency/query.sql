-- grain: one currency
-- key: currency_id
-- parameters: currency_names (JSON, the English names of ISO 4217 by code)
-- sources: totesys_staging.currency
-- write disposition: merge by (currency_id)
-- rules: a staged row replaces the earlier row; a row that the source deleted stays (rejected: deleting it, which would
--   break the foreign keys of facts);
--   every currency gets its current ISO 4217 name, because another edition may change a name (rejected: a list made by
--   hand; the name from the day when the currency was staged)
WITH known AS (
    SELECT
        currency_id,
        currency_code
    FROM totesys_staging.currency
    UNION ALL
    SELECT
        dim_currency.currency_id,
        dim_currency.currency_code
    FROM totesys_warehouse.dim_currency
    WHERE NOT EXISTS (
        SELECT 1
        FROM totesys_staging.currency
        WHERE currency.currency_id = dim_currency.currency_id
    )
)

SELECT
    currency_id,
    currency_code,
    %(currency_names)s::jsonb ->> currency_code AS currency_name
FROM known
