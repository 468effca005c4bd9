-- grain: one version of a purchase order
-- key: purchase_order_id, last_updated_date, last_updated_time
-- sources: totesys_warehouse.dim_date, totesys_warehouse.dim_staff, totesys_warehouse.dim_counterparty,
--   totesys_warehouse.dim_currency, totesys_warehouse.dim_location
-- write disposition: append, change all but (deleted_at), which is the comparison of keys'
CREATE TABLE IF NOT EXISTS totesys_warehouse.fact_purchase_order (
    purchase_record_id bigint GENERATED ALWAYS AS IDENTITY,
    purchase_order_id integer NOT NULL,
    created_date date NOT NULL,
    created_time time(3) NOT NULL,
    last_updated_date date NOT NULL,
    last_updated_time time(3) NOT NULL,
    staff_id integer NOT NULL,
    counterparty_id integer NOT NULL,
    item_code text NOT NULL,
    item_quantity integer NOT NULL,
    item_unit_price numeric(10, 2) NOT NULL,
    currency_id integer NOT NULL,
    agreed_delivery_date date NOT NULL,
    agreed_payment_date date NOT NULL,
    agreed_delivery_location_id integer NOT NULL,
    deleted_at timestamptz,
    load_id bigint NOT NULL,
    CONSTRAINT fact_purchase_order_purchase_record_id_pk PRIMARY KEY (purchase_record_id),
    CONSTRAINT fact_purchase_order_purchase_order_id_last_updated_date_uk
    UNIQUE (purchase_order_id, last_updated_date, last_updated_time),
    CONSTRAINT fact_purchase_order_created_date_fk FOREIGN KEY (created_date)
    REFERENCES totesys_warehouse.dim_date (date_id),
    CONSTRAINT fact_purchase_order_last_updated_date_fk FOREIGN KEY (last_updated_date)
    REFERENCES totesys_warehouse.dim_date (date_id),
    CONSTRAINT fact_purchase_order_staff_id_fk FOREIGN KEY (staff_id)
    REFERENCES totesys_warehouse.dim_staff (staff_id),
    CONSTRAINT fact_purchase_order_counterparty_id_fk FOREIGN KEY (counterparty_id)
    REFERENCES totesys_warehouse.dim_counterparty (counterparty_id),
    CONSTRAINT fact_purchase_order_currency_id_fk FOREIGN KEY (currency_id)
    REFERENCES totesys_warehouse.dim_currency (currency_id),
    CONSTRAINT fact_purchase_order_agreed_delivery_date_fk FOREIGN KEY (agreed_delivery_date)
    REFERENCES totesys_warehouse.dim_date (date_id),
    CONSTRAINT fact_purchase_order_agreed_payment_date_fk FOREIGN KEY (agreed_payment_date)
    REFERENCES totesys_warehouse.dim_date (date_id),
    CONSTRAINT fact_purchase_order_agreed_delivery_location_id_fk FOREIGN KEY (agreed_delivery_location_id)
    REFERENCES totesys_warehouse.dim_location (location_id)
);

COMMENT ON COLUMN totesys_warehouse.fact_purchase_order.purchase_record_id IS 'Key of the version';
COMMENT ON COLUMN totesys_warehouse.fact_purchase_order.purchase_order_id
IS 'Identifier of the purchase order in the source';
COMMENT ON COLUMN totesys_warehouse.fact_purchase_order.created_date IS 'Day of the creation';
COMMENT ON COLUMN totesys_warehouse.fact_purchase_order.created_time IS 'Time of the creation, by the source''s clock';
COMMENT ON COLUMN totesys_warehouse.fact_purchase_order.last_updated_date IS 'Day of the change that made this version';
COMMENT ON COLUMN totesys_warehouse.fact_purchase_order.last_updated_time
IS 'Time of that change, by the source''s clock';
COMMENT ON COLUMN totesys_warehouse.fact_purchase_order.staff_id IS 'Who ordered';
COMMENT ON COLUMN totesys_warehouse.fact_purchase_order.counterparty_id IS 'The business partner';
COMMENT ON COLUMN totesys_warehouse.fact_purchase_order.item_code IS 'What was ordered';
COMMENT ON COLUMN totesys_warehouse.fact_purchase_order.item_quantity IS 'How many pieces';
COMMENT ON COLUMN totesys_warehouse.fact_purchase_order.item_unit_price IS 'Price of one piece, in the currency';
COMMENT ON COLUMN totesys_warehouse.fact_purchase_order.currency_id IS 'Currency of the price';
COMMENT ON COLUMN totesys_warehouse.fact_purchase_order.agreed_delivery_date IS 'Day of the delivery, as agreed';
COMMENT ON COLUMN totesys_warehouse.fact_purchase_order.agreed_payment_date IS 'Day of the payment, as agreed';
COMMENT ON COLUMN totesys_warehouse.fact_purchase_order.agreed_delivery_location_id IS 'Where to, as agreed';
COMMENT ON COLUMN totesys_warehouse.fact_purchase_order.deleted_at
IS 'When this version was found to be gone from the source; null for one that was not';
COMMENT ON COLUMN totesys_warehouse.fact_purchase_order.load_id
IS 'The load that brought it last, by which the current version is told; see ledger.loads';
