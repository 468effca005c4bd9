-- grain: one postal code
-- key: postal_code
-- sources: none
-- write disposition: fill shared table; if another owner wrote rows, the table is only read
CREATE TABLE IF NOT EXISTS if_common.dim_addresses (
    postal_code integer NOT NULL,
    country text,
    region text,
    state text,
    address text,
    CONSTRAINT dim_addresses_postal_code_pk PRIMARY KEY (postal_code)
);

COMMENT ON TABLE if_common.dim_addresses IS 'Addresses by postal code';
COMMENT ON COLUMN if_common.dim_addresses.postal_code IS 'Postal code';
COMMENT ON COLUMN if_common.dim_addresses.country IS 'Country of the address';
COMMENT ON COLUMN if_common.dim_addresses.region IS 'Region of the address';
COMMENT ON COLUMN if_common.dim_addresses.state IS 'State of the address';
COMMENT ON COLUMN if_common.dim_addresses.address IS 'Address';
