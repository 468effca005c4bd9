-- grain: one design of a bag
-- key: design_id
-- parameters: none
-- sources: totesys_staging.design
-- write disposition: merge by (design_id)
-- rules: the row of the latest run that brought it counts; a row that is gone from the source stays (rejected: deleting
--   it, which would take the key from facts)
SELECT
    design_id,
    design_name,
    file_location,
    file_name
FROM totesys_staging.design
