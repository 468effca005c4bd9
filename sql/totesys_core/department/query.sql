-- grain: one department
-- key: department_id
-- parameters: none
-- sources: totesys_staging.department
-- write disposition: merge by (department_id)
-- rules: a staged row replaces the earlier row; a row that the source deleted stays (rejected: deleting it, which would
--   break the foreign keys of facts)
SELECT
    department_id,
    department_name,
    location
FROM totesys_staging.department
