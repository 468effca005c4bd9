-- grain: one address
-- key: location_id
-- parameters: none
-- sources: totesys_staging.address
-- write disposition: merge by (location_id)
-- rules: a staged row replaces the earlier row; a row that the source deleted stays (rejected: deleting it, which would
--   break the foreign keys of facts)
SELECT
    address_id AS location_id,
    address_line_1,
    address_line_2,
    district,
    city,
    postal_code,
    country,
    phone
FROM totesys_staging.address
