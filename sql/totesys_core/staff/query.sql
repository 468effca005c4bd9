-- grain: one staff member
-- key: staff_id
-- parameters: none
-- sources: totesys_staging.staff
-- write disposition: merge by (staff_id)
-- rules: a staged row replaces the earlier row; a row that the source deleted stays (rejected: deleting it, which would
--   break the foreign keys of facts)
SELECT
    staff_id,
    first_name,
    last_name,
    department_id,
    email_address
FROM totesys_staging.staff
