-- grain: one staff member
-- sources: totesys_core.staff
SELECT staff_id
FROM totesys_core.staff
