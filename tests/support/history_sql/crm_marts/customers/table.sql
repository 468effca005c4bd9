-- grain: one version of a customer
-- key: region, customer_id, valid_from
-- sources: none
-- write disposition: history by (region, customer_id)
CREATE TABLE IF NOT EXISTS crm_marts.customers (
    region text NOT NULL,
    customer_id integer NOT NULL,
    name text,
    balance numeric,
    details jsonb,
    term interval,
    valid_from date NOT NULL,
    valid_to date,
    CONSTRAINT customers_region_customer_id_valid_from_uk UNIQUE (region, customer_id, valid_from),
    CONSTRAINT customers_valid_to_ck CHECK (valid_from < valid_to)
);
CREATE INDEX IF NOT EXISTS customers_valid_to_ix ON crm_marts.customers (valid_to);
