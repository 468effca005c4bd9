-- grain: one business partner with the registered address
-- key: counterparty_id
-- sources: none
-- write disposition: merge by (counterparty_id)
CREATE TABLE IF NOT EXISTS totesys_warehouse.dim_counterparty (
    counterparty_id integer NOT NULL,
    counterparty_legal_name text,
    counterparty_legal_address_line_1 text,
    counterparty_legal_address_line_2 text,
    counterparty_legal_district text,
    counterparty_legal_city text,
    counterparty_legal_postal_code text,
    counterparty_legal_country text,
    counterparty_legal_phone_number text,
    CONSTRAINT dim_counterparty_counterparty_id_pk PRIMARY KEY (counterparty_id)
);

COMMENT ON TABLE totesys_warehouse.dim_counterparty IS 'Business partners with their registered addresses';
COMMENT ON COLUMN totesys_warehouse.dim_counterparty.counterparty_id IS 'Identifier of the business partner';
COMMENT ON COLUMN totesys_warehouse.dim_counterparty.counterparty_legal_name IS 'Registered name';
COMMENT ON COLUMN totesys_warehouse.dim_counterparty.counterparty_legal_address_line_1
IS 'First line of the registered address';
COMMENT ON COLUMN totesys_warehouse.dim_counterparty.counterparty_legal_address_line_2
IS 'Second line of the registered address';
COMMENT ON COLUMN totesys_warehouse.dim_counterparty.counterparty_legal_district
IS 'District of the registered address';
COMMENT ON COLUMN totesys_warehouse.dim_counterparty.counterparty_legal_city IS 'City of the registered address';
COMMENT ON COLUMN totesys_warehouse.dim_counterparty.counterparty_legal_postal_code
IS 'Postal code of the registered address';
COMMENT ON COLUMN totesys_warehouse.dim_counterparty.counterparty_legal_country IS 'Country of the registered address';
COMMENT ON COLUMN totesys_warehouse.dim_counterparty.counterparty_legal_phone_number
IS 'Telephone number of the registered address';
