-- grain: one currency
-- key: currency_id
-- sources: none
-- write disposition: merge by (currency_id)
CREATE TABLE IF NOT EXISTS totesys_warehouse.dim_currency (
    currency_id integer NOT NULL,
    currency_code text,
    currency_name text,
    CONSTRAINT dim_currency_currency_id_pk PRIMARY KEY (currency_id)
);

COMMENT ON TABLE totesys_warehouse.dim_currency IS 'Currencies';
COMMENT ON COLUMN totesys_warehouse.dim_currency.currency_id IS 'Identifier of the currency';
COMMENT ON COLUMN totesys_warehouse.dim_currency.currency_code IS 'ISO 4217 code';
COMMENT ON COLUMN totesys_warehouse.dim_currency.currency_name
IS 'English name in ISO 4217; null if ISO 4217 does not list the code';
