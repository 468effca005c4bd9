-- grain: one staff to be decided again
-- sources: totesys_staging.staff
SELECT staff_id
FROM totesys_staging.staff
