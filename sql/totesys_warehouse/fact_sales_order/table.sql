-- grain: one version of a sales order
-- key: sales_order_id, last_updated_date, last_updated_time
-- sources: totesys_warehouse.dim_date, totesys_warehouse.dim_staff, totesys_warehouse.dim_counterparty,
--   totesys_warehouse.dim_currency, totesys_warehouse.dim_design, totesys_warehouse.dim_location
-- write disposition: append, change all but (deleted_at), which the search for deleted rows sets
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

COMMENT ON TABLE totesys_warehouse.fact_sales_order IS 'Every version of every sales order';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order.sales_record_id IS 'Key of the version';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order.sales_order_id IS 'Identifier of the sales order in the source';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order.created_date IS 'Date when the source created the row';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order.created_time
IS 'Time when the source created the row, by the source''s clock';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order.last_updated_date IS 'Date of the change that made this version';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order.last_updated_time
IS 'Time of the change that made this version, by the source''s clock';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order.sales_staff_id IS 'Staff member who made the sale';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order.counterparty_id IS 'Business partner who buys';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order.units_sold IS 'Number of pieces';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order.unit_price IS 'Price of one piece in the currency';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order.currency_id IS 'Currency of the price';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order.design_id IS 'Design that was sold';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order.agreed_payment_date IS 'Agreed date of the payment';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order.agreed_delivery_date IS 'Agreed date of the delivery';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order.agreed_delivery_location_id IS 'Agreed place of the delivery';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order.deleted_at
IS 'When this version was found to be missing from the source; null if it was not';
COMMENT ON COLUMN totesys_warehouse.fact_sales_order.load_id
IS 'Load that brought this version last; the version with the latest load is current; see ledger.loads';
