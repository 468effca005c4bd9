-- grain: one kind of payments
-- key: payment_type_id
-- sources: none
-- write disposition: merge by (payment_type_id)
CREATE TABLE IF NOT EXISTS totesys_warehouse.dim_payment_type (
    payment_type_id integer NOT NULL,
    payment_type_name text,
    CONSTRAINT dim_payment_type_payment_type_id_pk PRIMARY KEY (payment_type_id)
);

COMMENT ON COLUMN totesys_warehouse.dim_payment_type.payment_type_id IS 'Identifier of the kind';
COMMENT ON COLUMN totesys_warehouse.dim_payment_type.payment_type_name IS 'Its name';
