-- fail: balances are not negative
SELECT
    customers.customer_id,
    customers.balance
FROM crm_marts.customers
WHERE customers.balance < 0;
