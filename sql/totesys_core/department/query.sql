-- grain: one department, as it is now
-- key: department_id
-- parameters: none
-- sources: totesys_staging.department
-- write disposition: merge by (department_id)
-- rules: the row of the latest run that brought it counts; a row that is gone from the source stays (rejected: deleting
--   it, which would take the key from facts)
SELECT
    department_id,
    department_name,
    location
FROM totesys_staging.department
