-- grain: one member of staff, with the department
-- key: staff_id
-- parameters: none
-- sources: totesys_core.staff, totesys_core.department
-- write disposition: merge by (staff_id)
-- rules: every member is decided again, for a department changes without them (rejected: those of this run only);
--   a member without a department stays (rejected: inner join)
SELECT
    staff.staff_id,
    staff.first_name,
    staff.last_name,
    department.department_name,
    department.location,
    staff.email_address
FROM totesys_core.staff
LEFT JOIN totesys_core.department ON staff.department_id = department.department_id
