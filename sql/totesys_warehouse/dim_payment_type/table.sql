-- grain: one kind of payment
-- key: payment_type_id
-- sources: none
-- write disposition: merge by (payment_type_id)
CREATE TABLE IF NOT EXISTS totesys_warehouse.dim_payment_type (
    payment_type_id integer NOT NULL,
    payment_type_name text,
    CONSTRAINT dim_payment_type_payment_type_id_pk PRIMARY KEY (payment_type_id)
);

COMMENT ON TABLE totesys_warehouse.dim_payment_type IS 'Kinds of payments';
COMMENT ON COLUMN totesys_warehouse.dim_payment_type.payment_type_id IS 'Identifier of the kind of payment';
COMMENT ON COLUMN totesys_warehouse.dim_payment_type.payment_type_name IS 'Name of the kind of payment';
