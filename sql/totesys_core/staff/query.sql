-- grain: one member of staff, as it is now
-- key: staff_id
-- parameters: none
-- sources: totesys_staging.staff
-- write disposition: merge by (staff_id)
-- rules: the row of the latest run that brought it counts; a row that is gone from the source stays (rejected: deleting
--   it, which would take the key from facts)
SELECT
    staff_id,
    first_name,
    last_name,
    department_id,
    email_address
FROM totesys_staging.staff
