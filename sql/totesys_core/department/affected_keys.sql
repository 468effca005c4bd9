-- grain: one department that was staged
-- sources: totesys_staging.department
SELECT department_id
FROM totesys_staging.department
