-- grain: one customer of a day's snapshot
-- key: region, customer_id, valid_from
-- parameters: day
-- sources: crm_staging.customers
-- write disposition: history by (region, customer_id)
-- rules: a customer who is missing in a snapshot is not valid on its day (rejected: keeping the last version)
SELECT
    customers.region,
    customers.customer_id,
    customers.name,
    customers.balance,
    customers.details,
    customers.term
FROM crm_staging.customers
WHERE customers.day = %(day)s
