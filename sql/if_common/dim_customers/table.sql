-- grain: one customer
-- key: customer_id
-- sources: none
-- write disposition: fill shared table; if another owner wrote rows, the table is only read
CREATE TABLE IF NOT EXISTS if_common.dim_customers (
    customer_id integer NOT NULL,
    customer_name text,
    postal_code integer,
    CONSTRAINT dim_customers_customer_id_pk PRIMARY KEY (customer_id)
);

COMMENT ON TABLE if_common.dim_customers IS 'Customers of the shop';
COMMENT ON COLUMN if_common.dim_customers.customer_id IS 'Identifier of the customer';
COMMENT ON COLUMN if_common.dim_customers.customer_name IS 'Name of the customer';
COMMENT ON COLUMN if_common.dim_customers.postal_code IS 'Postal code of the customer; see if_common.dim_addresses';
