-- grain: one business partner
-- key: counterparty_id
-- sources: none
-- write disposition: merge by (counterparty_id)
-- access: loader
CREATE TABLE IF NOT EXISTS totesys_core.counterparty (
    counterparty_id integer NOT NULL,
    counterparty_legal_name text,
    legal_address_id integer,
    CONSTRAINT counterparty_counterparty_id_pk PRIMARY KEY (counterparty_id)
);

COMMENT ON TABLE totesys_core.counterparty IS 'Business partners';
COMMENT ON COLUMN totesys_core.counterparty.counterparty_id IS 'Identifier of the business partner';
COMMENT ON COLUMN totesys_core.counterparty.counterparty_legal_name IS 'Registered name';
COMMENT ON COLUMN totesys_core.counterparty.legal_address_id
IS 'Registered address; see totesys_warehouse.dim_location';
