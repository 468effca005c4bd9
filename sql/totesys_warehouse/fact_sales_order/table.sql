-- grain: one version of a sales order
-- key: sales_order_id, last_updated_date, last_updated_time
-- sources: totesys_warehouse.dim_date, totesys_warehouse.dim_staff, totesys_warehouse.dim_counterparty,
--   totesys_warehouse.dim_currency, totesys_warehouse.dim_design, totesys_warehouse.dim_location
-- write disposition: append, change all but (deleted_at), which is the comparison of keys'
CREATE TABLE IF NOT EXISTS totesys_warehouse.fact_sales_order (
    sales_record_id bigint GENERATED ALWAYS AS IDENTITY,
    sales_order_id integer NOT NULL,
    created_date date NOT NULL,
    created_time time(3) NOT NULL,
    last_updated_date date NOT NULL,
    last_updated_time time(3) NOT NULL,
    sales_staff_id integer NOT NULL,
    counterparty_id integer NOT NULL,
    units_sold integer NOT NULL,
    unit_price numeric(10, 2) NOT NULL,
    currency_id integer NOT NULL,
    design_id integer NOT NULL,
    agreed_payment_date date NOT NULL,
    agreed_delivery_date date NOT NULL,
    agreed_delivery_location_id integer NOT NULL,
    deleted_at timestamptz,
    load_id bigint NOT NULL,
    CONSTRAINT fact_sales_order_sales_record_id_pk PRIMARY KEY (sales_record_id),
    CONSTRAINT fact_sales_order_sales_order_id_last_updated_date_uk
    UNIQUE (sales_order_id, last_updated_date, last_updated_time),
    CONSTRAINT fact_sales_order_created_date_fk FOREIGN KEY (created_date)
    REFERENCES totesys_warehouse.dim_date (date_id),
    CONSTRAINT fact_sales_order_last_updated_date_fk FOREIGN KEY (last_updated_date)
    REFERENCES totesys_warehouse.dim_date (date_id),
    CONSTRAINT fact_sales_order_sales_staff_id_fk FOREIGN KEY (sales_staff_id)
    REFERENCES totesys_warehouse.dim_staff (staff_id),
    CONSTRAINT fact_sales_order_counterparty_id_fk FOREIGN KEY (counterparty_id)
    REFERENCES totesys_warehouse.dim_counterparty (counterparty_id),
    CONSTRAINT fact_sales_order_currency_id_fk FOREIGN KEY (currency_id)
    REFERENCES totesys_warehouse.dim_currency (currency_id),
    CONSTRAINT fact_sales_order_design_id_fk FOREIGN KEY (design_id)
    REFERENCES totesys_warehouse.dim_design (design_id),
    CONSTRAINT fact_sales_order_agreed_payment_date_fk FOREIGN KEY (agreed_payment_date)
    REFERENCES totesys_warehouse.dim_date (date_id),
    CONSTRAINT fact_sales_order_agreed_delivery_date_fk FOREIGN KEY (agreed_delivery_date)
    REFERENCES totesys_warehouse.dim_date (date_id),
    CONSTRAINT fact_sales_order_agreed_delivery_location_id_fk FOREIGN KEY (agreed_delivery_location_id)
    REFERENCES totesys_warehouse.dim_location (location_id)
);

COMMENT ON COLUMN totesys_warehouse.fact_sales_order.sales_record_id IS 'Key of the version';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order.sales_order_id IS 'Identifier of the sales order in the source';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order.created_date IS 'Day of the creation';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order.created_time IS 'Time of the creation, by the source''s clock';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order.last_updated_date IS 'Day of the change that made this version';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order.last_updated_time IS 'Time of that change, by the source''s clock';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order.sales_staff_id IS 'Who sold';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order.counterparty_id IS 'The business partner';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order.units_sold IS 'How many pieces';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order.unit_price IS 'Price of one piece, in the currency';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order.currency_id IS 'Currency of the price';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order.design_id IS 'What was sold';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order.agreed_payment_date IS 'Day of the payment, as agreed';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order.agreed_delivery_date IS 'Day of the delivery, as agreed';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order.agreed_delivery_location_id IS 'Where to, as agreed';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order.deleted_at
IS 'When this version was found to be gone from the source; null for one that was not';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order.load_id
IS 'The load that brought it last, by which the current version is told; see ledger.loads';
