-- grain: one currency
-- key: currency_id
-- parameters: currency_names (JSON, the English names of ISO 4217 by code)
-- sources: totesys_staging.currency
-- write disposition: merge by (currency_id)
-- rules: the row of the latest run that brought it counts; a row that is gone from the source stays (rejected:
--   deleting it, which would take the key from facts);
--   the name is that of ISO 4217, of each currency again, for another edition may name it otherwise (rejected: a list
--   of our own; the names of the day when a currency came)
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
