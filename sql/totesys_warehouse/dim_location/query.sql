-- grain: one address
-- key: location_id
-- parameters: none
-- sources: totesys_staging.address
-- write disposition: merge by (location_id)
-- rules: the row of the latest run that brought it counts; a row that is gone from the source stays (rejected: deleting
--   it, which would take the key from facts)
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
