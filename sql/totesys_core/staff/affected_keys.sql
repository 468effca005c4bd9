-- grain: one staff member that was staged
-- sources: totesys_staging.staff
SELECT staff_id
FROM totesys_staging.staff
