-- grain: one staff member with the department
-- key: staff_id
-- parameters: none
-- sources: totesys_core.staff, totesys_core.department
-- write disposition: merge by (staff_id)
-- rules: every staff member is recomputed, because a department may change without its staff (rejected: only staff
--   members that this run staged);
--   a staff member without a department stays (rejected: inner join)
SELECT
    staff.staff_id,
    staff.first_name,
    staff.last_name,
    department.department_name,
    department.location,
    staff.email_address
FROM totesys_core.staff
LEFT JOIN totesys_core.department ON staff.department_id = department.department_id
