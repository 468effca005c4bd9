-- grain: one department to be decided again
-- sources: totesys_staging.department
SELECT department_id
FROM totesys_staging.department
