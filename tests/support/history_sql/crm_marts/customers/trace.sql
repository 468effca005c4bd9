-- from: crm_staging.customers
SELECT
    customers.tableoid,
    customers.ctid,
    customers AS source_row
FROM crm_staging.customers
WHERE
    customers.region = %(region)s AND customers.customer_id = %(customer_id)s
    AND customers.day >= %(valid_from)s AND (%(valid_to)s IS NULL OR customers.day < %(valid_to)s);
