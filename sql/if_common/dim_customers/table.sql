-- grain: one customer
-- key: customer_id
-- sources: none
-- write disposition: fill shared table; where it stands with rows of others it is read and never altered
CREATE TABLE IF NOT EXISTS if_common.dim_customers (
    customer_id integer NOT NULL,
    customer_name text,
    postal_code integer,
    CONSTRAINT dim_customers_customer_id_pk PRIMARY KEY (customer_id)
);

COMMENT ON COLUMN if_common.dim_customers.customer_id IS 'Identifier of the customer';
COMMENT ON COLUMN if_common.dim_customers.customer_name IS 'Name of the customer';
COMMENT ON COLUMN if_common.dim_customers.postal_code IS 'Where the customer lives; see if_common.dim_addresses';
