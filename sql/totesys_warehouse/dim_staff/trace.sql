-- from: totesys_core.staff
SELECT
    staff.tableoid,
    staff.ctid,
    staff AS source_row
FROM totesys_core.staff
WHERE staff.staff_id = %(staff_id)s;

-- from: totesys_core.department
SELECT
    department.tableoid,
    department.ctid,
    department AS source_row
FROM totesys_core.department
WHERE
    EXISTS (
        SELECT 1
        FROM totesys_core.staff
        WHERE staff.staff_id = %(staff_id)s AND staff.department_id = department.department_id
    );
