-- grain: one design of a bag
-- key: design_id
-- parameters: none
-- sources: totesys_staging.design
-- write disposition: merge by (design_id)
-- rules: a staged row replaces the earlier row; a row that the source deleted stays (rejected: deleting it, which would
--   break the foreign keys of facts)
SELECT
    design_id,
    design_name,
    file_location,
    file_name
FROM totesys_staging.design
