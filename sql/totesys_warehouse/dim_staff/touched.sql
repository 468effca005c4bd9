-- grain: one staff to be decided again
-- sources: totesys_core.staff
SELECT staff_id
FROM totesys_core.staff
