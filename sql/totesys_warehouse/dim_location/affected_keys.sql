-- grain: one address that was staged
-- sources: totesys_staging.address
SELECT address_id AS location_id
FROM totesys_staging.address
